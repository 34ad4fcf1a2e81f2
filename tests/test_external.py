"""Models that were trained elsewhere: what they give is what a trained cell gives, and all else is refused."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import negbench
from commands import bench
from negbench.benchmark.errors import BenchError, NoDataError
from negbench.benchmark.evaluation.metrics import metrics
from negbench.benchmark.evaluation.ranks import ranked, ranks
from negbench.benchmark.evaluation.scores import StoredScores
from negbench.benchmark.exchange.loaded import Loaded
from negbench.benchmark.results import integrity
from outside import MATRIX, PLACE, RUN, SIDES, check_same, ranks_of, recorded

# --- What is taken in -------------------------------------------------------------------------------------------


def test_embeddings_of_a_cell_give_its_ranks_and_metrics(own: Loaded) -> None:
    record = recorded(*SIDES, "--note", "of\nthe  paper's code")
    check_same(PLACE)
    assert record.metrics == own.record.metrics
    assert record.external is not None
    assert (record.config, record.cost, record.best_epoch, record.validation) == (None, None, None, {})
    assert (record.external.given, record.external.unit, record.external.repeated) == ("embeddings", True, False)
    assert record.external.note == "of the paper's code"
    assert (record.protocol, record.manifest_hash) == (own.record.protocol, own.record.manifest_hash)
    assert {"pushed_i2t", "order_t2i", "similarity_i2t_auc"} <= record.audit.keys()
    assert record.audit["order_i2t"] == own.record.audit["order_i2t"]
    assert not (PLACE / "history.csv").exists()


@pytest.mark.parametrize("kind", ["float32", "float64", ">f4"])
def test_similarities_of_a_cell_give_its_ranks_and_metrics(own: Loaded, kind: str) -> None:
    np.save("sim.npy", np.load("sim.npy").astype(kind))
    record = recorded("--similarity", "sim.npy")
    check_same(PLACE)
    assert "positive_similarity" not in record.metrics
    assert record.audit == {}
    assert "similarities alone" in str(record.error)
    assert sorted(path.name for path in PLACE.iterdir()) == ["ranks.npz", "run.json"]


def test_half_precision_and_fortran_order_are_taken(own: Loaded) -> None:
    np.save("im.npy", np.asfortranarray(np.load("im.npy").astype(np.float16)))
    np.save("ca.npy", np.load("ca.npy").astype(np.float16))
    recorded(*SIDES)
    expected = ranks(own.gallery.images.half().float(), own.gallery.captions.half().float(), own.gallery.caption_image)
    assert ranks_of(PLACE).t2i.tolist() == expected.t2i.tolist()
    np.save("half.npy", np.load("sim.npy").astype(np.float16))
    recorded("--similarity", "half.npy", "--replace")
    array, owner = np.load("half.npy"), own.gallery.caption_image
    scores = StoredScores(array.astype(np.float64), np.arange(array.shape[0]), np.arange(array.shape[1]))
    assert ranks_of(PLACE).i2t.tolist() == ranked(scores, owner).i2t.tolist()


def shuffled(images: int, captions: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.permutation(images), rng.permutation(captions)


def reorder(file: str, order: Any) -> None:
    lines = Path(file).read_text().split()
    Path(file).write_text("\r\n".join(lines[row] for row in order))  # of another system, without an end


def test_ids_may_stand_in_any_order(own: Loaded) -> None:
    before = recorded(*SIDES)
    image, caption = shuffled(20, 100)
    for file, order in (("im", image), ("ca", caption)):
        np.save(f"{file}.npy", np.load(f"{file}.npy")[order])
    np.save("sim.npy", np.load("sim.npy")[image][:, caption])
    reorder("i.txt", image)
    reorder("c.txt", caption)
    ids = ("--image-ids", "i.txt", "--caption-ids", "c.txt")
    after = recorded(*SIDES, *ids, "--replace")
    check_same(PLACE)
    assert (after.external, after.files["ranks.npz"]) == (before.external, before.files["ranks.npz"])
    recorded("--similarity", "sim.npy", *ids, "--replace")
    check_same(PLACE)


@pytest.mark.parametrize("mixed", [False, True])
def test_an_image_may_stand_there_once_for_each_caption(own: Loaded, mixed: bool) -> None:
    images, more = np.load("im.npy")[own.gallery.caption_image.numpy()], list[str]()
    if mixed:
        _, order = shuffled(20, 100)
        images, more = images[order], ["--caption-ids", "c.txt"]
        np.save("ca.npy", np.load("ca.npy")[order])
        reorder("c.txt", order)
    np.save("im.npy", images)
    done = bench("record", "--method", "SGRAF", "--dataset", "small", *SIDES, *more)
    assert done.exit_code == 0
    assert "rows of --images repeat" in done.stderr
    check_same(PLACE)
    record = integrity.read(PLACE)
    assert record.external is not None
    assert record.external.repeated


def test_float64_tells_apart_what_float32_cannot(own: Loaded) -> None:
    array = np.zeros((20, 100))
    array[own.gallery.caption_image.numpy(), np.arange(100)] = 1e-12  # of each pair, on a large number
    np.save("sim.npy", array + 1)
    assert recorded("--similarity", "sim.npy").metrics["rsum"] == 600


def test_rows_of_other_lengths_are_compared_as_they_are_and_not_audited(own: Loaded) -> None:
    np.save("im.npy", 30 * np.load("im.npy"))
    record = recorded(*SIDES)
    assert (record.audit, "positive_similarity" in record.metrics) == ({}, False)
    assert "unit length" in str(record.error)
    assert record.metrics["rsum"] == own.record.metrics["rsum"]
    assert bench("inspect", str(PLACE)).exit_code == 0


def test_what_is_there_is_not_recorded_again_nor_overwritten(own: Loaded) -> None:
    recorded(*SIDES)
    before = (PLACE / "run.json").read_bytes()
    done = bench("record", "--method", "SGRAF", "--dataset", "small", *SIDES)
    assert (done.exit_code, "already recorded" in done.stderr) == (0, True)
    np.save("im.npy", np.load("im.npy")[::-1])
    done = bench("record", "--method", "SGRAF", "--dataset", "small", *SIDES)
    assert (done.exit_code, "use --replace" in done.stderr) == (2, True)
    assert (PLACE / "run.json").read_bytes() == before
    assert recorded(*SIDES, "--replace").metrics != own.record.metrics


# --- What is refused --------------------------------------------------------------------------------------------


def saved(name: str, change: Callable[[Any], Any]) -> Callable[[], None]:
    return lambda: np.save(name, change(np.load(name)), allow_pickle=True)


def with_zeros(array: Any) -> Any:
    array[3] = 0
    return array


def with_nan(array: Any) -> Any:
    array[3, 1] = np.nan
    return array


def lines(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[], None]:
    return lambda: (Path(name).write_text("\n".join(change(Path(name).read_text().split())) + "\n"), None)[1]


def nothing() -> None:
    """Change nothing."""


IMAGE_IDS, CAPTION_IDS = ("--image-ids", "i.txt"), ("--caption-ids", "c.txt")
WRONG: dict[str, tuple[Callable[[], None], Sequence[str], str]] = {
    "few images": (saved("im.npy", lambda a: a[:-1]), SIDES, "im.npy: 19 rows, but the test split has 20 images"),
    "many captions": (saved("ca.npy", lambda a: a.repeat(2, 0)), SIDES, "ca.npy: 200 rows, but the test split has 100"),
    "nan": (saved("ca.npy", with_nan), SIDES, "ca.npy: row 3 holds NaN or infinity"),
    "zeros": (saved("ca.npy", with_zeros), SIDES, "ca.npy: row 3 is all zeros, which is similar to nothing"),
    "nan in a matrix": (saved("sim.npy", with_nan), MATRIX, "sim.npy: row 3 holds NaN or infinity"),
    "whole numbers": (saved("im.npy", lambda a: a.astype(int)), SIDES, "im.npy: holds int64; give float16, float32"),
    "objects": (
        saved("im.npy", lambda a: a.astype(object)),
        SIDES,
        "im.npy: not an array that can be read: it holds",
    ),
    "complex": (saved("sim.npy", lambda a: a.astype(complex)), MATRIX, "sim.npy: holds complex128"),
    "three axes": (saved("im.npy", lambda a: a[:, None]), SIDES, "im.npy: has the shape [20, 1, 8]"),
    "no columns": (saved("im.npy", lambda a: a[:, :0]), SIDES, "im.npy: has the shape [20, 0]"),
    "other dims": (saved("im.npy", lambda a: a[:, :5]), SIDES, "im.npy and ca.npy have 5 and 8 columns"),
    "too large": (saved("im.npy", lambda a: a.astype(float) * 1e200), SIDES, "cannot rank"),
    "no file": (nothing, ("--similarity", "absent.npy"), "absent.npy: not an array that can be read: No such file"),
    "no array": (nothing, ("--similarity", "i.txt"), "i.txt: not an array that can be read"),
    "transposed": (
        saved("sim.npy", np.transpose),
        MATRIX,
        "is [captions, images] = [100, 20]; give [images",
    ),
    "other shape": (saved("sim.npy", lambda a: a[:, 1:]), MATRIX, "sim.npy: has the shape [20, 99]; the test split is"),
    "unknown id": (lines("i.txt", lambda s: ["x", *s[1:]]), (*SIDES, *IMAGE_IDS), "i.txt: line 1: 'x' is unknown"),
    "of train": (
        lines("c.txt", lambda s: [*s[:-1], "train-00000-0"]),
        (*MATRIX, *CAPTION_IDS),
        "c.txt: line 100: 'train-00000-0' is of the train split",
    ),
    "double": (
        lines("i.txt", lambda s: [*s, s[4]]),
        (*SIDES, *IMAGE_IDS),
        "i.txt: line 21: 'test-00004' stands",
    ),
    "missing": (lines("c.txt", lambda s: s[2:]), (*SIDES, *CAPTION_IDS), "c.txt: lacks 2 of 100 ids of the test split"),
    "empty line": (lines("i.txt", lambda s: [*s, ""]), (*SIDES, *IMAGE_IDS), "i.txt: line 21: '' is unknown"),
    "no text": (lambda: (Path("i.txt").write_bytes(b"\xff\xfe"), None)[1], (*SIDES, *IMAGE_IDS), "i.txt:1: not UTF-8"),
    "fewer rows than ids": (
        saved("im.npy", lambda a: a[:-1]),
        (*SIDES, *IMAGE_IDS),
        "im.npy: 19 rows, but i.txt has 20 lines",
    ),
    "rows of one image differ": (
        lambda: np.save("im.npy", np.random.default_rng(0).normal(size=(100, 8))),
        SIDES,
        "im.npy: 100 rows, as many as captions, but rows 0 and 1 of image 'test-00000' differ",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_of_the_test_is_refused_in_one_line(own: Loaded, name: str) -> None:
    spoil, words, message = WRONG[name]
    spoil()
    done = bench("record", "--method", "SGRAF", "--dataset", "small", *words)
    assert done.exit_code == 3, done.output
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path("runs/small/external").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--method", "A", *SIDES], 2, "give --method NAME and --dataset NAME"),
        (["--method", "A", "--dataset", "small"], 2, "give images and captions, or similarity alone"),
        (["--method", "A", "--dataset", "small", *SIDES[:2]], 2, "give images and captions"),
        (["--method", "A", "--dataset", "small", *SIDES, *MATRIX], 2, "or similarity alone"),
        (["--method", "../up", "--dataset", "small", *SIDES], 2, "method '../up': use letters"),
        (["--method", "A", "--dataset", "smal", *SIDES], 3, "did you mean 'small'"),
        (["--method", "A", "--dataset", "../small", *SIDES], 2, "dataset name '../small'"),
        (["--method", "A", "--dataset", "small", *SIDES, "--note", "x" * 301], 2, "note: 301 characters"),
        (["--method", "A", "--dataset", "small", *SIDES, "--out", "data/x"], 2, "data is the project's own"),
        (["--method", "A", "--dataset", "small", *SIDES, "--out", "methods"], 2, "methods"),
        (["--ensemble", str(RUN)], 2, "an ensemble has two members or more"),
        (["--ensemble", str(RUN), "nowhere"], 3, "nowhere: no run.json"),
        (["--ensemble", str(RUN), str(RUN), *MATRIX], 2, "leave the others out"),
        ([str(RUN), str(RUN)], 2, "folders of records are for --ensemble"),
    ],
)
def test_wrong_usage_is_one_line(own: Loaded, words: Sequence[str], code: int, message: str) -> None:
    done = bench("record", *words)
    assert (done.exit_code, len(done.stderr.splitlines())) == (code, 1), done.output
    assert message in done.stderr
    assert not Path("runs/small/external").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": {"i2t_medr": 1.5}}, "its ranks give"),
        ({"method_id": "other"}, "method_id: 'other', but the configuration gives 'SGRAF'"),
        ({"features_hash": "0" * 32}, "features_hash: of a model that was trained elsewhere"),
        ({"best_epoch": 1}, "best_epoch: of a model that was trained elsewhere"),
        ({"status": "collapsed"}, "status: collapsed, of a model that was trained elsewhere"),
        ({"external": {"seed": 4}}, "config_hash"),
        ({"external": None}, "config: is missing"),
        (
            {"config": {"method": "fne", "dataset": "small", "encoder": "x"}},
            "external: trained elsewhere, but it has",
        ),
    ],
)
def test_a_record_that_was_edited_is_believed_no_more(own: Loaded, change: dict[str, Any], message: str) -> None:
    recorded(*SIDES)
    content = json.loads((PLACE / "run.json").read_text())
    for key, value in change.items():
        content[key] = content[key] | value if isinstance(value, dict) and content[key] else value
    (PLACE / "run.json").write_text(json.dumps(content))
    with pytest.raises(NoDataError, match=message):
        integrity.read(PLACE)


# --- From Python ------------------------------------------------------------------------------------------------


def test_arrays_and_tensors_are_recorded_from_python(own: Loaded) -> None:
    gallery = own.gallery
    found = negbench.record("small", gallery.images.numpy(), gallery.captions, method="SGRAF", seed=3, note="mine")
    assert found.folder == PLACE.with_name("seed-3")
    assert found.record.seed == 3
    check_same(found.folder)
    place = Path("elsewhere")
    similarity = np.load("sim.npy")[::-1]
    ids = gallery.image_ids[::-1]
    again = negbench.record("small", similarity=similarity, image_ids=ids, method="B", out=place)
    assert again.ranks.t2i.tolist() == found.ranks.t2i.tolist()
    half = negbench.record("small", gallery.images.bfloat16(), gallery.captions.bfloat16(), method="C")
    assert half.record.external is not None
    assert not half.record.external.unit
    with pytest.raises(BenchError, match="give images and captions"):
        negbench.record("small", gallery.images, method="D")
    with pytest.raises(NoDataError, match=r"^images: 19 rows"):
        negbench.record("small", gallery.images[1:], gallery.captions, method="D")
    assert not Path("runs/small/external/D").exists()


def test_a_record_is_loaded_and_ranks_as_it_did(own: Loaded) -> None:
    recorded(*SIDES)
    for folder in (RUN, PLACE):
        run = negbench.load(folder)
        gallery = run.gallery
        found = ranks(gallery.images, gallery.captions, gallery.caption_image)
        stored = ranks_of(folder)
        assert (found.i2t.tolist(), found.t2i.tolist()) == (stored.i2t.tolist(), stored.t2i.tolist())
        assert {key: run.record.metrics[key] for key in metrics(found)} == metrics(found)
    towers = negbench.load(RUN).towers
    assert not towers.training
    external = negbench.load(PLACE)
    for use in (lambda: external.towers, lambda: external.encode_texts(["a"]), lambda: external.encode_images([])):
        with pytest.raises(NoDataError, match="trained elsewhere"):
            use()
    recorded(*MATRIX, "--replace")
    assert negbench.load(PLACE).record.method_id == "SGRAF"
    with pytest.raises(NoDataError, match="no embeddings were given"):
        _ = negbench.load(PLACE).gallery
    with pytest.raises(NoDataError, match=r"no run\.json"):
        negbench.load("runs/nowhere")


def test_the_package_itself_is_light_and_has_nothing_else() -> None:
    script = (
        "import sys, negbench\n"
        "assert not {'torch', 'numpy', 'pandas', 'pydantic', 'negbench.benchmark'} & {*sys.modules}\n"
        "import negbench.methods\n"
        "assert not {'pandas', 'pydantic', 'typer', 'negbench.benchmark'} & {*sys.modules}\n"
        "assert callable(negbench.record) and callable(negbench.load) and not hasattr(negbench, 'other')\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
