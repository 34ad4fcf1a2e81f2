"""What is believed of a record: it says only what follows from the files beside it."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import bench
from negbench.benchmark.evaluation.metrics import COLLAPSED
from negbench.benchmark.evaluation.protocols import PROTOCOLS, Measured, Protocol
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results import integrity, plausibility, records
from negbench.benchmark.results.records import Cost, RunRecord
from recorded import write_record


def record(method: str = "fne", seed: int = 0, **changes: Any) -> RunRecord:
    config = RunConfig(method=method, dataset="toy", encoder="made+up", seed=seed, memory=0, epochs=5)
    values: dict[str, Any] = {
        "status": "done",
        "method_id": config.method_id,
        "config": config,
        "config_hash": config.hash,
        "recipe_hash": config.recipe_hash,
        "manifest_hash": "m1",
        "features_hash": "f1",
        "protocol": Protocol(name="toy", images=20, captions=100),
        "metrics": {"i2t_r1": 40.0},
        "best_epoch": 3,
    }
    return RunRecord(**values | changes)


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        *above, last = path.split(".")
        for key in above:
            content = content[key]
        content[last] = value

    return change


AUDIT = {
    f"{name}_{way}{end}": value
    for way in ("i2t", "t2i")
    for name, ends in {
        "pushed": {"": 0.2, "_low": 0.1, "_high": 0.3, "_judged": 40.0, "_all": 50.0, "_anchors": 96.0, "_base": 0.1},
        "order": {"": 0.8, "_low": 0.7, "_high": 0.9, "_pairs": 60.0, "_anchors": 8.0, "_start": 0.7},
        "detect": {"_pairs": 50.0, "_matches": 9.0},
        "similarity": {"_auc": 0.9, "_ap": 0.5},
    }.items()
    for end, value in ends.items()
}


FOLDS = Protocol(name="coco-1k-5fold", images=1000, captions=5000, folds=5)


def whole_record() -> RunRecord:
    """One that has a figure of every kind."""
    return record(
        metrics={"i2t_r1": 40.0, "true_rsum": 382.0},
        audit=AUDIT,
        false_negative_rate={"i2t": 0.1, "t2i": 0.2, "both": 0.15},
        cost=Cost(wall_s=60, step_ms=12, product_ms=8, peak_mb=500),
    )


FORGED = {
    "rsum": (put("metrics.rsum", 599.0), "metrics.rsum: 599.0, but its recalls give"),
    "true sum": (put("metrics.true_rsum", 590.0), "metrics.true_rsum: 590.0, but its recalls give 382.0"),
    "part of a set": (lambda content: content["metrics"].pop("true_t2i_r5"), "metrics.true_t2i_r5: missing"),
    "order of recalls": (
        lambda content: content["metrics"].update(true_i2t_r1=70.0, true_i2t_r5=50.0, true_i2t_r10=71.0),
        "metrics.true_i2t_r1: 70.0 at 1, 50.0 at 5 and 71.0 at 10 cannot be",
    ),
    "validation": (put("validation", {"rsum": 500.0}), "validation.i2t_r1: missing"),
    "both": (put("false_negative_rate.both", 0.01), "false_negative_rate.both: 0.01 is not between"),
    "part of rates": (put("false_negative_rate", {"both": 0.1}), "false_negative_rate: both, not both and"),
    "audit share": (put("audit.order_i2t_start", 1.2), "audit.order_i2t_start: 1.2 is no share"),
    "audit interval": (put("audit.pushed_i2t", 0.01), "audit.pushed_i2t: 0.01 is not between 0.1 and 0.3"),
    "audit count": (put("audit.pushed_t2i_judged", 1e300), "audit.pushed_t2i_judged: 1e+300 cannot be counted"),
    "audit below 0": (put("audit.pushed_t2i_judged", -1.0), "audit.pushed_t2i_judged: -1.0 cannot be counted"),
    "audit anchors": (put("audit.pushed_t2i_anchors", 101.0), "audit.pushed_t2i_anchors: 101.0, of 100 captions"),
    "audit judged": (put("audit.pushed_t2i_judged", 60.0), "audit.pushed_t2i_judged: 60.0, of a push of 50.0"),
    "audit pairs": (put("audit.order_t2i_pairs", 1e300), "audit.order_t2i_pairs: 1e+300 of 8.0 anchors cannot be"),
    "audit matches": (put("audit.detect_i2t_matches", 50.0), "audit.detect_i2t_matches: 50.0 of 50.0 pairs"),
    "part of an audit": (put("audit", {"pushed_i2t": 0.1, "pushed_i2t_judged": 5.0}), "audit.pushed_i2t_low: missing"),
    "part of a detection": (lambda content: content["audit"].pop("similarity_t2i_ap"), "similarity_t2i_ap: missing"),
    "key of an audit": (put("audit.winner", 1.0), "audit.winner: no figure of an audit"),
    "others": (
        put("others", [{"protocol": FOLDS.model_dump(), "metrics": {"rsum": 599.0}}]),
        "others: 'coco-1k-5fold' is no other protocol",
    ),
    "one image more": (put("protocol.images", 101), "protocol.images: 101, but its ranks and similarities"),
    "folds": (put("protocol.folds", 5), "protocol: 'toy' in 5 folds"),
    "protocol": (put("protocol.name", "best"), "protocol: 'best' in 1 folds, but that of toy is 'toy'"),
    "manifest": (put("manifest_hash", "x"), "manifest_hash: 'x' is no digest"),
    "features": (put("features_hash", "x"), "features_hash: 'x' is no digest"),
    "no product": (put("cost.product_ms", 0.0), "cost.product_ms: 0.0 cannot be"),
    "failed": (put("status", "failed"), "status: failed, but it has metrics"),
    "no digests": (put("files", {}), "files: empty, though the run did not fail"),
    "no digest": (put("ranks_sha256", ""), "ranks_sha256: empty, though the run did not fail"),
    "other digest": (put("files", {"ranks.npz": "0" * 64}), "files: another ranks.npz than ranks_sha256 says"),
    "impossible rsum": (put("metrics.rsum", 999.0), "metrics.rsum: 999.0 cannot be"),
    "recall": (put("metrics.i2t_r1", 150.0), "metrics.i2t_r1: 150.0 cannot be"),
    "nan": (put("metrics.t2i_r5", float("nan")), "metrics.t2i_r5: nan cannot be"),
    "median": (put("metrics.t2i_medr", 2.0), "metrics.t2i_medr: 2.0, but its ranks give"),
    "true recall": (put("metrics.true_rsum", 700.0), "metrics.true_rsum: 700.0 cannot be"),
    "audit": (put("audit", {"pushed_i2t": float("inf")}), "audit.pushed_i2t: inf is not finite"),
    "share": (put("false_negative_rate", {"both": 1.5}), "false_negative_rate.both: 1.5 is no share"),
    "cost": (put("cost", {"wall_s": -1, "step_ms": 1, "product_ms": 1, "peak_mb": 1}), "cost.wall_s: -1.0 cannot be"),
    "recipe": (put("config.learning_rate", 0.1), "config_hash: '"),
    "seed": (put("config.seed", 7), "config_hash: '"),
    "id": (put("method_id", "fne[prior=1.0]"), "method_id: 'fne[prior=1.0]', but"),
    "empty method": (put("config.method", ""), "method"),
    "path for a method": (put("config.method", "../../evil"), "method"),
    "path for a dataset": (put("config.dataset", "../../evil"), "dataset"),
    "escape": (put("protocol.name", "toy\x1b[2J"), "protocol: empty, too long, or with characters"),
    "epoch": (put("best_epoch", 99), "best_epoch: 99, of 5 epochs"),
    "gallery": (put("protocol.images", 10), "20 images and 100 captions"),
    "deep": (lambda content: content.update(error="[" * 10_000), ""),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_a_record_that_cannot_be_so_is_left_out_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    change, reason = FORGED[what]
    write_record(Path("runs/good"), record("hardest"))
    before = bench("leaderboard", "--format", "json")[1]
    write_record(Path("runs/forged"), whole_record())
    path = Path("runs/forged/run.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    code, out, err = bench("leaderboard", "--format", "json")
    assert code == 0
    if reason:
        assert out == before
        assert reason in err
        assert "runs/forged" in err
        with pytest.raises(records.RecordError):
            integrity.read(Path("runs/forged"))


def test_others_are_of_the_known_protocols_and_sum_up(tmp_path: Path) -> None:
    recalls = {f"{way}_r{k}": 60.0 for way in ("i2t", "t2i") for k in (1, 5, 10)}
    config = record().about.model_copy(update={"dataset": "coco"})
    coco = record(config=config, config_hash=config.hash, recipe_hash=config.recipe_hash, protocol=PROTOCOLS["coco"][0])
    for rsum, fault in ((360.0, ""), (599.0, "others.coco-1k-5fold.rsum: 599.0, but its recalls give 360.0")):
        other = Measured(protocol=FOLDS, metrics=recalls | {"rsum": rsum, "mr": 60.0})
        assert next(plausibility.faults(coco.model_copy(update={"metrics": {}, "others": (other,)})), "").startswith(
            fault
        )
    for name, (whole, *_) in PROTOCOLS.items():
        known = record(config=config.model_copy(update={"dataset": name}), protocol=whole)
        assert not [fault for fault in plausibility.faults(known) if fault.startswith("protocol")]


def test_a_collapse_is_what_the_history_says(small_project: Path) -> None:
    path = small_project / "runs/small/fne/seed-0/run.json"
    said = json.loads(path.read_text())
    other = "done" if said["status"] == "collapsed" else "collapsed"
    path.write_text(json.dumps(said | {"status": other}))
    code, out, err = bench("leaderboard")
    assert code == 3
    assert f"status: {other}, but history.csv ends with positives" in out + err
    assert COLLAPSED == 0.02


def test_a_history_that_is_no_csv_takes_no_board_down(small_project: Path) -> None:
    folder = small_project / "runs/small/fne/seed-0"
    (folder / "history.csv").write_text("a" * 200_000)
    said = json.loads((folder / "run.json").read_text())
    said["files"]["history.csv"] = hashlib.sha256((folder / "history.csv").read_bytes()).hexdigest()
    (folder / "run.json").write_text(json.dumps(said))
    assert bench("leaderboard")[0] == 0
    code, out, err = bench("plot", "curves")
    assert code == 3
    assert "history.csv: missing or broken" in out + err


def test_images_without_captions_are_those_that_the_similarities_count(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    write_record(folder, record())
    content = json.loads((folder / "run.json").read_text())
    for images, fault in ((23, ""), (24, "protocol.images: 24, but")):
        np.savez(folder / "similarities.npz", test_positive=np.array([100]), test_negative=np.array([2200]))
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npz")}
        content["protocol"]["images"] = images
        (folder / "run.json").write_text(json.dumps(content | {"files": files}))
        assert next(integrity.faults(folder, records.read(folder)), "").startswith(fault)


@pytest.mark.parametrize("kind", ["pipe", "device", "bomb", "sparse"])
def test_ranks_that_would_never_end_are_left_out_and_the_rest_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_record(Path("runs/good"), record("hardest"))
    write_record(Path("runs/bad"), record())
    path = Path("runs/bad/ranks.npz")
    path.unlink()
    reason = "not a file"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(2**40)
        reason = "1,099,512 MB, too large"
    else:
        np.savez_compressed(path, i2t=np.zeros(3 * 10**7, "f4"))
        content = json.loads(Path("runs/bad/run.json").read_text())
        content["ranks_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        Path("runs/bad/run.json").write_text(json.dumps(content))
        reason = "unpacks to 120 MB, too large"
    code, out, err = bench("leaderboard", "--format", "json")
    assert code == 0
    assert [row["method"] for row in json.loads(out)] == ["hardest"]
    assert f"ranks.npz: {reason}" in " ".join(err.split())


def test_a_row_on_other_queries_has_no_mark_and_the_others_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        write_record(Path(f"runs/hardest/{seed}"), record("hardest", seed))
        write_record(Path(f"runs/fne/{seed}"), record("fne", seed, metrics={"i2t_r1": 60.0}))
        write_record(Path(f"runs/sum/{seed}"), record("sum", seed, metrics={"i2t_r1": 50.0}))
    path = Path("runs/sum/1")
    with np.load(path / "ranks.npz") as arrays:
        changed = dict(arrays) | {"t2i_ids": np.array([f"x{k}" for k in range(100)])}
    np.savez_compressed(path / "ranks.npz", **changed)
    content = json.loads((path / "run.json").read_text())
    content["ranks_sha256"] = hashlib.sha256((path / "ranks.npz").read_bytes()).hexdigest()
    (path / "run.json").write_text(json.dumps(content))
    code, out, err = bench("leaderboard", "--format", "json")
    assert code == 0
    marks = {row["method"]: row["mark_p"] for row in json.loads(out)}
    assert marks["fne"] is not None
    assert marks["sum"] is None
    assert "mark of sum" in err
    assert "other queries" in err


def test_records_behind_links_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_record(Path("disk/fne/0"), record())
    Path("runs/toy").mkdir(parents=True)
    Path("runs/toy/fne").symlink_to(tmp_path / "disk/fne")
    Path("runs/again").symlink_to(tmp_path / "disk/fne/0")
    Path("runs/toy/loop").symlink_to(tmp_path / "runs")
    (row,) = json.loads(bench("leaderboard", "--format", "json")[1])
    assert row["n"] == 1
    assert len(integrity.survey()[0]) == 1


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_record(Path("runs/fne/0"), record())
    write_record(Path("runs/closed/0"), record(seed=1))
    scandir = os.scandir

    def closed(path: Any = ".") -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    code, _, err = bench("leaderboard")
    assert code == 0
    assert re.search(r"runs/closed +Permission denied", err)


def test_a_record_of_the_first_version_stays_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no digests of its files, and keys that came later are missing."""
    monkeypatch.chdir(tmp_path)
    write_record(Path("runs/old"), record())
    path = Path("runs/old/run.json")
    content = json.loads(path.read_text())
    for later in ("files", "others", "audit", "ranks_sha256"):
        content.pop(later, None)
    path.write_text(json.dumps(content))
    assert integrity.read(Path("runs/old")).metrics["i2t_r1"] == 40.0


@pytest.mark.parametrize(
    "name, words",
    [
        ("history.csv", ["plot", "curves"]),
        ("similarities.npz", ["plot", "similarities"]),
        ("model.safetensors", ["inspect", "runs/small/fne/seed-0"]),
        ("method.safetensors", ["inspect", "runs/small/fne/seed-0"]),
    ],
)
def test_an_edited_file_of_a_record_is_not_believed(small_project: Path, name: str, words: list[str]) -> None:
    assert bench(*words)[0] == 0
    path = Path("runs/small/fne/seed-0") / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    code, _, err = bench(*words)
    assert code == 3
    assert f"{path}: cut off or edited, it is not the file that run.json tells of" in " ".join(err.split())


@pytest.mark.parametrize("name", ["history.csv", "similarities.npz", "model.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "cut off"])
def test_one_bad_file_leaves_its_record_out_of_the_pictures(small_project: Path, name: str, kind: str) -> None:
    path = Path("runs/small/fne/seed-1", name)
    shutil.copytree("runs/small/fne/seed-0", path.parent)
    found = records.read(path.parent)
    config = found.about.model_copy(update={"seed": 1})
    found = found.model_copy(update={"config": config, "config_hash": config.hash})
    (path.parent / "run.json").write_text(found.model_dump_json())
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"epoch,")
    if name.startswith("model"):
        code, _, err = bench("inspect", str(path.parent))
        assert code == 3
    else:
        code, out, err = bench("plot", "curves" if name == "history.csv" else "similarities")
        assert code == 0
        assert ".png" in out
    if name != "similarities.npz" or "seed-1" in err:  # it is not opened where another run is the first
        assert f"{path}: {'not a file' if kind == 'pipe' else 'cut off or edited'}" in " ".join(err.split())
