"""Trackers: each writes with the real package, without a network, and what it wrote is read back."""

import ast
import json
import sqlite3
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from commands import bench
from negbench.benchmark.errors import BenchError, RunFailedError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results import records
from negbench.benchmark.results.records import RunRecord
from negbench.benchmark.sweeps import cell
from negbench.benchmark.trackers import registry
from negbench.benchmark.trackers.base import Axis, Status, TrackedCell, Tracker
from negbench.benchmark.trackers.tracking import Tracking, tracking
from negbench.benchmark.training.watcher import History, Watcher
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore

OWN = ["dvclive", "mlflow", "tensorboard", "wandb"]
FOLDER = Path("runs/tiny/fne/seed-0")
CONFIG = RunConfig(
    method="fne", dataset="tiny", encoder="made+up", settings={"prior": 7.0}, epochs=2, batch=16, memory=0, dim=8
)
STEPS = 2 * (120 // 16)


class Lines(Watcher):
    """What a person is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def said(self, line: str) -> None:
        self.lines.append(line)


class Kept(Tracker):
    """Notes all that it is told."""

    package = "json"
    calls: ClassVar[list[tuple[Any, ...]]] = []

    def begin(self, cell: TrackedCell) -> str:
        self.calls.append(("begin", cell.name, cell.flat()["settings.prior"]))
        return "here"

    def values(self, axis: Axis, number: int, values: History) -> None:
        self.calls.append((axis, number, values))

    def figure(self, name: str, picture: Path) -> None:
        self.calls.append(("figure", name, picture.read_bytes()[:4]))

    def artefact(self, files: Sequence[Path]) -> None:
        self.calls.append(("artefact", [path.name for path in files]))

    def end(self, status: Status, metrics: History) -> None:
        self.calls.append(("end", status, metrics))


class Fails(Kept):
    """Takes nothing."""

    def values(self, axis: Axis, number: int, values: History) -> None:
        raise SystemExit("no\nroom")


@pytest.fixture
def kept() -> Iterator[list[tuple[Any, ...]]]:
    Kept.calls.clear()
    yield Kept.calls
    Kept.calls.clear()


def train(tiny: tuple[Manifest, FeatureStore], *kinds: type[Tracker]) -> tuple[RunRecord, list[str]]:
    """A recorded cell, and what was said."""
    lines = Lines()
    with tracking({kind.__name__: kind for kind in kinds}, CONFIG, FOLDER, lines) as watcher:
        record = cell.run(CONFIG, FOLDER, *tiny, watcher)
        watcher.recorded(FOLDER, record)
    return record, lines.lines


@dataclass(frozen=True)
class Tracked:
    """A small project with a cell that all four trackers were told of."""

    folder: Path
    record: RunRecord
    history: list[dict[str, str]]
    lines: list[str]

    def one(self, pattern: str) -> Path:
        (found,) = self.folder.glob(pattern)
        return found


@pytest.fixture
def tracked(tiny: tuple[Manifest, FeatureStore], monkeypatch: pytest.MonkeyPatch) -> Tracked:
    for name, value in {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "DO_NOT_TRACK": "true"}.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_TRACKING_URI", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in OWN:
        pytest.importorskip(registry.get(name).package)
    record, lines = train(tiny, *(registry.get(name) for name in OWN))
    return Tracked(Path.cwd(), record, records.history(FOLDER, record), lines)


def test_each_tracker_is_a_file_with_one_class_and_an_extra() -> None:
    assert registry.files() == OWN
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    for name in OWN:
        assert registry.get(name).package == name
        assert f"\n{name} = [" in text


def test_tools_are_imported_by_no_tracker_before_it_begins() -> None:
    for path in registry.FOLDER.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
                assert all(name.split(".")[0] in {"negbench", *sys.stdlib_module_names} for name in names), path


def test_what_each_wrote_is_read_back(tracked: Tracked) -> None:
    """One training with all four, as their packages take seconds to import."""
    assert [line.partition(":")[0] for line in tracked.lines] == [f"tracked by {kind}" for kind in KINDS]
    in_tensorboard(tracked)
    in_mlflow(tracked)
    in_wandb(tracked)
    in_dvclive(tracked)


KINDS = ("DVCLive", "MLflow", "TensorBoard", "WeightsAndBiases")


def in_tensorboard(tracked: Tracked) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tracked.one("tracked/tensorboard/tiny/fne/seed-0/*")))
    events.Reload()
    losses = events.Scalars("epoch/loss")
    assert [event.step for event in losses] == [1, 2]
    assert [event.value for event in losses] == pytest.approx([float(row["loss"]) for row in tracked.history])
    assert [event.step for event in events.Scalars("step/loss")] == [10]
    assert events.Scalars("test/rsum")[0].value == pytest.approx(tracked.record.metrics["rsum"])
    assert {"curves", "similarities"} <= set(events.Tags()["images"])
    (recipe,) = events.Tensors("recipe/text_summary")
    assert json.loads(recipe.tensor_proto.string_val[0])["settings"] == {"prior": 7.0}
    (told,) = events.Tensors("run.json/text_summary")
    assert json.loads(told.tensor_proto.string_val[0])["config_hash"] == CONFIG.hash


def in_mlflow(tracked: Tracked) -> None:
    with sqlite3.connect(tracked.folder / "tracked/mlflow.db") as database:
        ((run, name, status),) = database.execute("select run_uuid, name, status from runs")
        losses = database.execute("select value from metrics where key = 'epoch/loss' order by step").fetchall()
        steps = database.execute("select step from metrics where key = 'step/learning_rate'").fetchall()
        ((rsum,),) = database.execute("select value from metrics where key = 'test/rsum'")
        params = dict(database.execute("select key, value from params").fetchall())
    database.close()
    assert (name, status) == ("tiny/fne/seed-0", "FINISHED")
    assert [value for (value,) in losses] == pytest.approx([float(row["loss"]) for row in tracked.history])
    assert steps == [(10,)]
    assert rsum == pytest.approx(tracked.record.metrics["rsum"])
    assert (params["epochs"], params["settings.prior"], params["method"]) == ("2", "7.0", "fne")
    files = tracked.folder / "tracked/mlflow" / run / "artifacts"
    assert {path.name for path in (files / "record").iterdir()} == {
        *("run.json", "history.csv", "ranks.npz", "similarities.npz"),
    }
    assert (files / "record/run.json").read_bytes() == (tracked.folder / FOLDER / "run.json").read_bytes()
    assert len([*(files / "figures").glob("*.png")]) == 2


def chunks(log: bytes) -> Iterator[bytes]:
    """The records of an offline run's file: a log of LevelDB, in blocks of 32 KiB behind a head of 7 bytes."""
    whole, at = b"", 7
    while at + 7 <= len(log):
        if (left := 2**15 - at % 2**15) < 7:
            at += left
            continue
        size, kind = struct.unpack("<HB", log[at + 4 : at + 7])
        whole += log[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


def in_wandb(tracked: Tracked) -> None:
    from wandb.proto import wandb_internal_pb2 as proto

    config: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}
    artefacts = []
    for data in chunks(tracked.one("tracked/wandb/offline-run-*/*.wandb").read_bytes()):
        record = proto.Record.FromString(data)  # type: ignore[attr-defined]
        config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        if record.HasField("history"):
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
        summary |= {
            item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.summary.update
        }
        if record.request.HasField("log_artifact") or record.HasField("artifact"):
            artefacts.append(str(record))
    assert (config["epochs"], config["settings.prior"]) == (2, 7.0)
    losses = [row["epoch/loss"] for row in rows if "epoch/loss" in row]
    assert losses == pytest.approx([float(row["loss"]) for row in tracked.history])
    assert [row["step"] for row in rows if "step/loss" in row] == [10]
    assert [name for row in rows for name in row if name.startswith("figures/")]
    assert summary["test/rsum"] == pytest.approx(tracked.record.metrics["rsum"])
    (artefact,) = artefacts
    assert "run.json" in artefact


def in_dvclive(tracked: Tracked) -> None:
    folder = tracked.one("tracked/dvclive/tiny/fne/seed-0/*")
    lines = (folder / "plots/metrics/epochs/loss.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["step", "1", "2"]
    values = [float(line.split("\t")[1]) for line in lines[1:]]
    assert values == pytest.approx([float(row["loss"]) for row in tracked.history])
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"]["rsum"] == pytest.approx(tracked.record.metrics["rsum"])
    assert "prior: 7.0" in (folder / "params.yaml").read_text()
    assert (folder / "record/run.json").read_bytes() == (tracked.folder / FOLDER / "run.json").read_bytes()
    assert len([*folder.rglob("*.png")]) == 2


def test_a_tracker_is_told_of_all_and_decides_nothing(
    tiny: tuple[Manifest, FeatureStore], kept: list[tuple[Any, ...]]
) -> None:
    plain, _ = train(tiny)
    weights = (FOLDER / "model.safetensors").read_bytes()
    record, lines = train(tiny, Kept)
    assert lines == ["tracked by Kept: here"]
    assert (record.metrics, record.config_hash, record.code_hash) == (
        plain.metrics,
        plain.config_hash,
        plain.code_hash,
    )
    assert (FOLDER / "model.safetensors").read_bytes() == weights
    assert [call[:2] for call in kept] == [
        ("begin", "tiny/fne/seed-0"),
        ("epoch", 1),
        ("step", 10),
        ("epoch", 2),
        ("figure", "curves"),
        ("figure", "similarities"),
        ("artefact", ["history.csv", "ranks.npz", "run.json", "similarities.npz"]),
        ("end", record.status),
    ]
    step = kept[2][2]
    assert step.keys() == {"loss", "learning_rate"}
    assert step["learning_rate"] == CONFIG.learning_rate
    assert kept[-1][2] == record.metrics
    assert kept[4][2] == b"\x89PNG"


def test_a_tracker_that_fails_is_one_line_and_fails_no_run(
    tiny: tuple[Manifest, FeatureStore], kept: list[tuple[Any, ...]]
) -> None:
    record, lines = train(tiny, Fails, Kept)
    assert record.status != "failed"
    assert lines == [
        "tracked by Fails: here",
        "tracked by Kept: here",
        "tracker Fails failed, and the run goes on without it: SystemExit: no",
    ]
    assert [call[1] for call in kept if call[0] == "end"] == [record.status]  # the other one's


def test_what_fails_before_or_behind_a_training_fails_no_run(
    tiny: tuple[Manifest, FeatureStore], kept: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unmade(Kept):
        def __init__(self) -> None:
            raise OSError("no room")

    def undrawn(folder: Path, scratch: Path) -> dict[str, Path]:
        raise ValueError("no colour")

    monkeypatch.setattr("negbench.benchmark.trackers.tracking.drawn", undrawn)
    record, lines = train(tiny, Unmade, Kept)
    assert lines == [
        "tracker Unmade failed, and the run goes on without it: OSError: no room",
        "tracked by Kept: here",
        "no pictures for trackers: ValueError: no colour",
    ]
    assert [call[0] for call in kept[-2:]] == ["artefact", "end"]
    assert records.read(FOLDER).metrics == record.metrics


def ends_with(error: BaseException) -> None:
    """A training that does, after a sample."""
    with tracking({"kept": Kept}, CONFIG, FOLDER, Lines()) as watcher:
        watcher.sample(10, {"loss": 1.0})
        raise error


def test_how_a_training_ended_is_told(tiny: tuple[Manifest, FeatureStore], kept: list[tuple[Any, ...]]) -> None:
    for error, status in ((RunFailedError("no number"), "failed"), (KeyboardInterrupt(), "interrupted")):
        with pytest.raises(type(error)):
            ends_with(error)
        assert kept[-2:] == [("step", 10, {"loss": 1.0}), ("end", status, {})]


def test_an_interrupt_inside_a_tracker_is_one(kept: list[tuple[Any, ...]]) -> None:
    class Interrupted(Kept):
        def figure(self, name: str, picture: Path) -> None: ...

        def epoch(self, row: History) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tracking(Lines(), {"it": Interrupted}).epoch({"epoch": 0})


def test_an_mlflow_store_of_files_is_used_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DO_NOT_TRACK", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "elsewhere").as_uri())
    with tracking({"mlflow": registry.get("mlflow")}, CONFIG, FOLDER, lines := Lines()) as watcher:
        watcher.epoch({"epoch": 0, "loss": 0.5})
    assert not [line for line in lines.lines if "failed" in line]
    (loss,) = tmp_path.glob("elsewhere/*/*/metrics/epoch/loss")
    assert loss.read_text().split()[1:] == ["0.5", "1"]
    assert not Path("tracked").exists()


def test_wrong_words_are_told_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["run", "--method", "fne", "--dataset", "scenes", "--encoder", "a+b", "--track"]
    done = bench(*words, "wandbb")
    assert done.exit_code == 2
    assert done.stderr == "error: --track: unknown tracker 'wandbb'; did you mean 'wandb'?\n"
    monkeypatch.setattr(registry, "is_there", lambda package: False)
    done = bench(*words, "mlflow")
    assert done.exit_code == 2
    assert (
        done.stderr == "error: --track mlflow: the package 'mlflow' is missing; run: pip install 'negbench[mlflow]'\n"
    )
    assert not [*tmp_path.iterdir()]


def test_a_sweep_hands_its_trackers_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--methods", "fne", "--datasets", "scenes", "--seeds", "1", "--set", "encoder=a+b", "--dry-run"]
    done = bench("sweep", *words, "--track", "wandb", "--track", "dvclive")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.endswith(" --track wandb --track dvclive\n")


def test_another_package_may_offer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine-1.dist-info").mkdir()
    (tmp_path / "mine-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    (tmp_path / "mine-1.dist-info/entry_points.txt").write_text(
        "[negbench.trackers]\nmine = test_trackers:Kept\nhalf = test_trackers:Lines\nnone = nowhere:Kept\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.names() == sorted([*OWN, "mine", "half", "none"])
    assert registry.get("mine").__name__ == "Kept"
    for name, why in (("half", "no whole class derived from Tracker"), ("none", "cannot be imported")):
        with pytest.raises(BenchError, match=why):
            registry.get(name)
