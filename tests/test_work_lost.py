"""Nothing that took long is done twice: features on other disks, kills at the last step, two at once."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from audited import TEXTS
from commands import BENCH, bench, bench_process
from negbench import methods
from negbench.benchmark.errors import RunFailedError
from negbench.benchmark.recipe import identity
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results import records
from negbench.benchmark.results.records import RunRecord
from negbench.benchmark.sweeps import cell, recording
from negbench.benchmark.sweeps.sweep import PlannedCell, cells
from negbench.benchmark.training import checkpoint, disk_space
from negbench.benchmark.training.checkpoint import alone as alone_cell
from negbench.benchmark.training.watcher import History, Watcher
from negbench.pipelines import atomic, features, prepare
from negbench.pipelines.encoding import Stage
from negbench.pipelines.errors import DataError
from negbench.pipelines.locks import alone
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore, complete
from negbench.pipelines.work import Work
from test_atomic import kill_at, no_exchange

Tiny = tuple[Manifest, FeatureStore]
STORE = Path("features/my/precomputed+ngrams")
MEMORY = Path("/dev/shm")
"""A disk of its own, where the system has one."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory with dataset ``my``: three splits of 12 precomputed vectors, two captions each."""
    place = tmp_path / "project"
    place.mkdir()
    monkeypatch.chdir(place)
    plain = Path("plain")
    plain.mkdir()
    for part in ("train", "dev", "test"):
        np.save(plain / f"{part}_ims.npy", np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32))
        (plain / f"{part}_caps.txt").write_text("".join(f"{part} caption {k}\n" for k in range(24)))
    prepare.add("my", plain)
    return place


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    if not MEMORY.is_dir() or MEMORY.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip("there is no second disk here")
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    yield folder
    shutil.rmtree(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def good(folder: Path) -> str:
    """The hash of a store, all of which could be read."""
    store = FeatureStore(folder, Manifest.read(Path("data/my")).hash)
    for split in ("train", "val", "test"):
        assert len(store.split(split).caption_ids) == 24
    return store.hash


# --- Features -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["features", "features/my", "features/my/precomputed+ngrams"])
def test_features_on_another_disk_are_made_there(project: Path, elsewhere: Path, link: str) -> None:
    Path(link).parent.mkdir(parents=True, exist_ok=True)
    Path(link).symlink_to(elsewhere / "there")
    if link != str(STORE):
        (elsewhere / "there").mkdir()
    for force in (False, True):
        good(features.make("my", force=force))
        assert Path(link).is_symlink()
        assert STORE.stat().st_dev == elsewhere.stat().st_dev
        assert not [*project.rglob("*.work"), *elsewhere.rglob("*.work")]


def force_killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> int:
    """``features --force`` in another process, killed at the ``step``-th change after all is encoded; how it ended."""

    def last(*words: Any) -> None:
        kill_at(monkeypatch, step)
        complete(*words)

    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(features, "complete", last)
            features.make("my", force=True)
        finally:
            os._exit(sys.exc_info()[0] is not None)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize(
    ("first", "old", "exchange"), [(1, True, True), (3, True, False), (5, False, True), (7, False, False)]
)
def test_killed_at_any_step_after_encoding_nothing_is_encoded_again(
    project: Path, monkeypatch: pytest.MonkeyPatch, first: int, old: bool, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(atomic, "_exchange", no_exchange)
    expected = contents(features.make("my"))
    info = json.loads(expected["features.json"])
    former = expected | {"features.json": json.dumps({**info, "remark": "an older one"}).encode()}
    ended, step = -1, first
    while ended != 0:
        shutil.rmtree("features")
        if old:
            STORE.mkdir(parents=True)
            for name, content in former.items():
                (STORE / name).write_bytes(content)
        ended = force_killed_at(monkeypatch, step)
        assert ended in (0, signal.SIGKILL), step
        if old:
            assert good(atomic.whole(STORE)) == info["hash"]
            assert contents(STORE) in (expected, former), step
        with monkeypatch.context() as patch:
            patch.setattr(Stage, "batches", lambda *words: pytest.fail("encoded again"))
            if Work(STORE).folder.joinpath("state.json").exists():
                features.make("my", force=True)
        assert contents(STORE) == expected, step
        left = {path.name for path in STORE.parent.iterdir() if path.is_file() or list(path.iterdir())}
        swept_later = {name for name in left if atomic.SCRATCH.fullmatch(name)}
        assert left - swept_later == {STORE.name, f".{STORE.name}.lock"}, step
        step += 9
    assert step > 30  # the steps were really counted


def test_the_old_store_that_made_way_is_never_taken_for_finished_work(project: Path) -> None:
    made = contents(features.make("my"))
    work = Work(STORE)
    state = {"dataset": "my"}
    work.begin(state)
    for name, content in made.items():
        (work.store / name).write_bytes(content)
    work.finish()
    shutil.rmtree(STORE)
    (work.store / "features.json").write_text("{}")  # another one than was finished
    assert not work.finished(state)
    (work.store / "features.json").write_bytes(made["features.json"])
    (work.store / "train_images.npy").write_bytes(b"cut off")
    assert not work.finished(state)
    (work.store / "train_images.npy").write_bytes(made["train_images.npy"])
    assert not work.finished({"dataset": "other"})
    assert not STORE.exists()
    assert work.finished(state)
    assert contents(STORE) == made


def test_what_dvc_removes_before_a_stage_is_not_the_work(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features.make("my")
    expected = contents(STORE)

    def killed(*words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(features, "complete", killed)
        with pytest.raises(KeyboardInterrupt):
            features.make("my", force=True)
    shutil.rmtree(STORE)
    Path("features/my.json").unlink()
    monkeypatch.setattr(Stage, "batches", lambda *words: pytest.fail("encoded again"))
    features.make("my")
    assert contents(STORE) == expected
    assert json.loads(Path("features/my.json").read_text())["encoder"] == STORE.name


def test_who_waits_for_features_says_for_whom(project: Path) -> None:
    words = [*BENCH, "features", "--dataset", "my"]
    with alone(Work(STORE).lock):
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert re.fullmatch(rf"features of my are being made by process {os.getpid()} since \d\d:\d\d; waiting\n", line)
        assert not STORE.exists()
    process.communicate(timeout=60)
    assert process.returncode == 0
    good(STORE)


# --- Trainings ----------------------------------------------------------------------------------------------------

SMALL = ["--epochs", "2", "--batch", "16", "--memory", "16", "--set", "dim=8", "--set", "hidden=8"]
STEPS_AFTER = (
    *((recording, step) for step in ("write_ranks", "write_similarities", "write_json", "measured", "cost")),
    *((cell, step) for step in ("beyond_labels", "commit_record")),
)


def config(**changes: Any) -> RunConfig:
    plain: dict[str, Any] = {"epochs": 2, "batch": 16, "memory": 16, "dim": 8, "hidden": 8, "learning_rate": 0.01}
    return RunConfig(**{"method": "fne", "dataset": "tiny", "encoder": "made+up", **plain, **changes})


class Epochs(Watcher):
    """Counts them."""

    count = 0

    def epoch(self, row: History) -> None:
        self.count += 1


def run(tiny: Tiny, folder: Path, **changes: Any) -> tuple[RunRecord, int]:
    """A record, and the epochs that were trained for it."""
    watcher = Epochs()
    return cell.run(config(**changes), folder, *tiny, watcher), watcher.count


def numbers(folder: Path) -> dict[str, object]:
    """All of a record that is the same whenever it is made."""
    record = records.read(folder)
    plain = record.model_dump(exclude={"cost", "created", "commit", "dirty", "files"})  # history.csv has times
    files = ("ranks.npz", "similarities.npz", "model.safetensors", "method.safetensors")
    return plain | {name: (folder / name).read_bytes() for name in files}


@pytest.mark.parametrize("method", methods.names())
def test_a_kept_training_gives_the_same_record(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(cell, "texts_for", lambda *words: TEXTS)
    run(tiny, Path("whole"), method=method)
    with monkeypatch.context() as patch:
        patch.setattr(cell, "commit_record", interrupted)
        with pytest.raises(KeyboardInterrupt) as told:
            run(tiny, Path("kept"), method=method)
    (where,) = Path(".bench/checkpoints").iterdir()
    assert told.value.__notes__ == [f"the training is kept in {where}: the same command goes on from there"]
    assert not Path("kept").exists()
    assert run(tiny, Path("kept"), method=method)[1] == 0
    assert numbers(Path("kept")) == numbers(Path("whole"))
    assert not list(Path(".bench/checkpoints").iterdir())


def interrupted(*words: object, **more: object) -> None:
    raise KeyboardInterrupt


def full(*words: object, **more: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "there")


@pytest.mark.parametrize(
    ("fault", "room", "step"),
    [(full, *step) for step in STEPS_AFTER] + [(interrupted, *step) for step in (*STEPS_AFTER, (cell, "audit_test"))],
)
def test_whatever_fails_after_the_training_it_is_not_done_again(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, room: ModuleType, step: str, fault: Callable[..., None]
) -> None:
    run(tiny, Path("whole"))
    with monkeypatch.context() as patch:
        patch.setattr(room, step, fault)
        with pytest.raises((OSError, KeyboardInterrupt)) as told:
            run(tiny, Path("out"))
    assert "the training is kept in .bench/checkpoints/out-" in told.value.__notes__[0]
    assert cell.recorded(Path("out"), config(), *tiny) is None
    assert run(tiny, Path("out"))[1] == 0
    assert numbers(Path("out")) == numbers(Path("whole"))
    assert not list(Path(".bench/checkpoints").iterdir())
    assert cell.recorded(Path("out"), config(), *tiny) is not None


def test_before_its_audit_the_record_stands(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tiny, Path("whole"))
    with monkeypatch.context() as patch:
        patch.setattr(cell, "audit_test", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tiny, Path("out"))
    before, whole = numbers(Path("out")), numbers(Path("whole"))
    assert before["metrics"] == whole["metrics"]
    assert before["ranks.npz"] == whole["ranks.npz"]
    assert before["audit"] == {} != whole["audit"]


def test_an_audit_that_fails_leaves_a_record_without_it_and_a_line(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*words: object) -> None:
        raise KeyError("no such thing")

    run(tiny, Path("whole"))
    monkeypatch.setattr(cell, "audit_test", broken)
    monkeypatch.setattr("negbench.benchmark.cli.features.ensure_with_progress", lambda dataset, encoder: tiny)
    words = ["run", "--method", "fne", "--dataset", "tiny", *SMALL, "--set", "learning_rate=0.01", "--out", "out"]
    for said in ("recorded", "already recorded"):
        done = bench(*words)
        assert done.exit_code == 0, done.output
        reason = "the audit failed: KeyError: 'no such thing' (BENCH_DEBUG=1 shows where)"
        assert done.stderr.splitlines()[-1] == f"{said} in out without an audit: {reason}"
    whole, found = records.read(Path("whole")), records.read(Path("out"))
    assert (found.status, found.metrics, found.audit) == (whole.status, whole.metrics, {})
    assert not list(Path(".bench/checkpoints").iterdir())


def test_features_made_anew_meanwhile_lose_no_training(tiny: Tiny) -> None:
    file = tiny[1].folder / "test_images.npy"
    before = file.read_bytes()

    class Meanwhile(Watcher):
        def epoch(self, row: History) -> None:
            file.write_bytes(before[:-4] + b"\0\0\0\0")

    with pytest.raises(DataError, match=r"test_images\.npy changed after it was made") as told:
        cell.run(config(), Path("out"), *tiny, Meanwhile())
    assert "the training is kept in" in told.value.__notes__[0]
    file.write_bytes(before)
    assert run(tiny, Path("out"))[1] == 0


@pytest.mark.parametrize("change", ["config", "features", "code", "damage"])
def test_a_kept_training_of_something_else_is_not_used(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cell, "commit_record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tiny, Path("out"))
    if change == "features":
        tiny[1].info["hash"] = "11ff"
    if change == "code":
        monkeypatch.setattr(cell, "code_hash", lambda config: "other")
    if change == "damage":
        (path,) = Path(".bench/checkpoints").glob("*/checkpoint.safetensors")
        path.write_bytes(path.read_bytes()[:-9])
    assert run(tiny, Path("out"), **({"seed": 1} if change == "config" else {}))[1] == 2
    assert not list(Path(".bench/checkpoints").iterdir())


def test_too_little_room_is_told_before_the_training(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    watcher = Epochs()
    with pytest.raises(RunFailedError, match=r"0\.0 MB are free, but the record of this cell needs \d+\.\d MB; make"):
        cell.run(config(), Path("out"), *tiny, watcher)
    assert watcher.count == 0
    assert not Path("out").exists()


def test_what_is_asked_for_is_more_than_what_is_written(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, store = tiny
    with monkeypatch.context() as patch:
        patch.setattr(cell, "commit_record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tiny, Path("out"))
    (where,) = Path(".bench/checkpoints").iterdir()
    kept = sum(path.stat().st_size for path in where.iterdir())
    run(tiny, Path("out"))
    size = sum(path.stat().st_size for path in Path("out").iterdir())
    weights, rest = disk_space.weights_size(config(), store), disk_space.numbers_size(config(), manifest)
    assert size < weights + rest < size + 2**21
    assert kept < disk_space.checkpoint_size(config(), weights) + rest < kept + 2**21


def test_outside_the_project_nothing_lies_in_it(tiny: Tiny, tmp_path: Path) -> None:
    assert checkpoint.place(Path("runs/tiny/fne/seed-0")).parts[:2] == (".bench", "checkpoints")
    assert checkpoint.place(Path("a-b/c")) != checkpoint.place(Path("a/b-c"))
    assert checkpoint.place(tmp_path.parent / "out") == tmp_path.parent / ".out.checkpoints"


def test_two_runs_of_a_cell_at_once_train_once(project: Path) -> None:
    words = [*BENCH, "run", "--dataset", "my", "--method", "hardest", *SMALL, "--epochs", "20", "--out", "out"]
    features.make("my")
    with alone_cell(Path("out"), pytest.fail):
        both = [subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for _ in range(2)]
        for one in both:
            assert one.stderr is not None
            while not (line := one.stderr.readline()).startswith("this cell"):
                assert line, "it does not wait"
            said = rf"this cell is being trained by process {os.getpid()} since \d\d:\d\d; waiting\n"
            assert re.fullmatch(said, line)
    told = [one.communicate(timeout=120)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted("epoch 20/20" in text for text in told) == [False, True]
    assert sorted(text.splitlines()[-1].startswith("already recorded") for text in told) == [False, True]


# --- Sweeps -------------------------------------------------------------------------------------------------------


def alive(process: int) -> bool:
    """Whether a process runs, and is not only left to be counted."""
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def children_of(process: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        found += [int(stat.parent.name)] if parent == process else []
    return found


def wait_until(said: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")
@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 130), ("SIGHUP", 130), ("SIGKILL", -9)])
def test_the_cells_of_a_sweep_end_with_it(project: Path, number: str, code: int) -> None:
    words = ["sweep", "--methods", "hardest,random", "--datasets", "my", "--seeds", "1", "--jobs", "2", "--memory", "0"]
    long = [word for key in ("epochs=1000000", "batch=16", "dim=4") for word in ("--set", key)]
    features.make("my")
    with subprocess.Popen([*BENCH, *words, *long], stderr=subprocess.PIPE, text=True) as process:
        logs = Path(".bench/logs")
        wait_until(lambda: sum("epoch" in path.read_text() for path in logs.glob("*.log")) == 2)
        both = children_of(process.pid)
        assert len(both) == 2
        process.send_signal(signal.Signals[number])
        wait_until(lambda: not any(map(alive, both)), 20)
        assert process.stderr is not None
        rest = process.stderr.read()
    assert process.returncode == code
    assert "Traceback" not in rest
    assert rest.endswith("interrupted\n") == (code == 130)


WITHOUT_PRCTL = """
import sys, time
from negbench.benchmark.sweeps import processes
processes._die_with_parent = lambda: None
processes.end_with_parent()
print("ready", flush=True)
time.sleep(600)
"""
PARENT = f"""
import subprocess, sys
from negbench.benchmark.sweeps.processes import Children
plain = subprocess.Popen
subprocess.Popen = lambda words, **more: plain([sys.executable, "-c", {WITHOUT_PRCTL!r}], **more)
Children().start([], {{}}).wait()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")
def test_where_the_system_does_not_help_a_child_watches_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        (child,) = children_of(process.pid)
        process.kill()
        wait_until(lambda: not alive(child), 10)


def test_a_sweep_imports_nothing_from_the_folder_it_runs_in(project: Path) -> None:
    for name in ("methods/__init__.py", "benchmark/__init__.py", "typer.py", "torch.py", "dvc.py"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("open('executed', 'w')\nraise SystemExit(77)\n")
    words = ["sweep", "--methods", "random", "--datasets", "my", "--seeds", "1", "--memory", "0"]
    small = [word for key in ("epochs=1", "warmup_epochs=0", "batch=16", "dim=4") for word in ("--set", key)]
    done = bench_process(*words, *small)
    assert done.exit_code == 0, done.stderr
    assert len(list(Path("runs").glob("**/run.json"))) == 1
    assert not Path("executed").exists()


def test_a_log_has_one_name_of_its_own() -> None:
    names = ["f8k", "../../evil", "/etc/x", "a/b", "a_b", ".hidden", "x" * 300]
    logs = [PlannedCell("fne", name, 0).log for name in names]
    assert logs[0] == "f8k-fne-seed-0.log"
    assert len(set(logs)) == len(names)
    for log in logs:
        assert Path(log).name == log
        assert log[0] != "."
        assert len(log) < 255


def test_a_cell_that_is_named_twice_runs_once() -> None:
    assert len(cells("fne,fne", ["f8k"], range(2), [None])) == 2


# --- The commit ---------------------------------------------------------------------------------------------------


def repository(folder: Path, hook: Path, *files: str) -> str:
    """A git repository around ``folder`` that tracks ``files``, and asks ``hook`` what changed; its commit."""

    def git(*words: str) -> str:
        told = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.fsmonitor=false"]
        done = subprocess.run(["git", "-C", str(folder), *told, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", "--", *files)
    git("commit", "--quiet", "--message", "one")
    git("config", "core.fsmonitor", str(hook))
    return git("rev-parse", "HEAD")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_the_repository_that_holds_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    site = project / "env" / "site"
    for package in identity.PACKAGES:
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").touch()
    (project / "thesis.tex").write_text("mine")
    hook = tmp_path / "monitor"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    hook.chmod(0o755)
    monkeypatch.setattr(identity, "ROOT", site)
    nothing = {"commit": None, "dirty": None}
    repository(project, hook, "thesis.tex")
    assert identity.commit() == nothing
    repository(project, hook, "env")  # now it tracks the code, but as a part of something else
    assert identity.commit() == nothing
    own = repository(site, hook, *identity.PACKAGES)
    monkeypatch.setenv("GIT_DIR", str(project / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(site))
    assert identity.commit() == {"commit": own, "dirty": False}
    (site / "methods" / "__init__.py").write_text("changed")
    assert identity.commit() == {"commit": own, "dirty": True}
    shutil.rmtree(site / ".git")
    assert identity.commit() == nothing
    assert not (tmp_path / "executed").exists()
