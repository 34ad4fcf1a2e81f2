"""kill -9 and a full disk in the middle of ``data add``, ``features`` and ``run``: real processes, really killed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import bench_process
from negbench.pipelines import sources

DRIVER = Path(__file__).with_name("killed.py")
RUN = "run --dataset my --method hardest --seed 0 --epochs 2 --batch 8 --memory 0 --set dim=4"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each command, with all that it needs done before it."""
    root = tmp_path_factory.mktemp("start")
    add = root / "data"
    (add / "plain").mkdir(parents=True)
    for part in ("train", "dev", "test"):
        np.save(add / "plain" / f"{part}_ims.npy", np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32))
        (add / "plain" / f"{part}_caps.txt").write_text("".join(f"{part} caption {k}\n" for k in range(24)))
    shutil.make_archive(str(add / "my"), "zip", add / "plain")
    shutil.rmtree(add / "plain")
    (add / "params.yaml").write_text("datasets: []\nencoders: {}\n")
    shutil.copytree(add, root / "features")
    assert bench_process("data", "add", "my", "--from", "my.zip", cwd=root / "features").exit_code == 0
    shutil.copytree(root / "features", root / "run")
    assert bench_process("features", "--dataset", "my", cwd=root / "run").exit_code == 0
    shutil.copytree(root / "run", root / "again")
    assert bench_process(*RUN.split(), cwd=root / "again").exit_code == 0
    return root


def tries(how: str, folder: Path, first: int, step: int, command: str) -> list[dict[str, Any]]:
    """What each disturbed try left, the last of which got through."""
    words = [sys.executable, str(DRIVER), how, str(first), str(step), *command.split()]
    done = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[-1]["code"] == 0, told[-1]["again"]["said"]
    assert len(told) > 3
    return told


COMMANDS = pytest.mark.parametrize(
    ("command", "step"), [("data add my --from my.zip", 9), ("features --dataset my", 9), (RUN, 11)], ids=str
)


@COMMANDS
def test_after_a_kill_nothing_half_written_is_read_and_the_command_works(start: Path, command: str, step: int) -> None:
    told = tries("kill", start / command.split()[0], 2, step, command)
    good = told[-1]["good"]
    if command == RUN:
        assert {epochs for one in told for epochs in one["trained"]} == {1, 2}  # at each epoch's end
    assert any("run" in key or command.split()[0] in key for key in good)
    for one in told[:-1]:
        assert one["code"] == -9, one
        assert one["good"].items() <= good.items(), one
        assert one["again"]["code"] == 0, one["again"]["said"]
        assert one["again"]["good"] == good
        check_work_is_not_lost(one)


def check_work_is_not_lost(one: dict[str, Any]) -> None:
    """Epochs in a checkpoint were not trained again, and then it was kept no longer."""
    if one["trained"]:
        assert one["again"]["said"].count("  loss ") == 2 - max(one["trained"]), one
    assert not one["again"]["trained"]


@pytest.mark.parametrize(("how", "first"), [("kill", 1), pytest.param("plain", 8, marks=pytest.mark.thorough)])
def test_a_forced_run_that_is_killed_never_hides_the_record(start: Path, how: str, first: int) -> None:
    told = tries(how, start / "again", first, 15, f"{RUN} --force")
    assert [one for one in told if "2/2  loss " in one["said"]]
    for one in told:
        assert one["good"] == one["again"]["good"] == told[-1]["good"], one
        assert len([key for key in one["good"] if key.startswith("runs")]) == 1
        check_work_is_not_lost(one)


def test_where_all_is_ready_a_run_elsewhere_writes_nothing_into_the_project(start: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [sys.executable, str(DRIVER), "full", "1", "1", *f"{RUN} --out {out}".split()]
    done = subprocess.run(words, cwd=start / "run", check=True, capture_output=True, text=True)
    told = json.loads(done.stdout)  # one line: the first try got through, with no room at all in the project
    assert told["code"] == 0
    assert "already recorded" in told["again"]["said"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@COMMANDS
def test_a_full_disk_is_one_line_and_leaves_nothing(start: Path, command: str, step: int) -> None:
    folder = start / command.split()[0]
    told = tries("full", folder, 1, step, command)
    before = {path.relative_to(folder) for path in folder.rglob("*")}
    for one in told[:-1]:
        assert one["code"] == 1, one
        errors = [line for line in one["said"].splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, one["said"]
        assert "No space left on device; make room and run the same command again" in errors[0]
        assert "Traceback" not in one["said"]
        assert one["good"].items() <= told[-1]["good"].items()
        known = (".bench/", "features/my/.")  # what is kept for the next try
        left = {Path(file) for file in one["files"] if not file.startswith(known)} - before
        complete = {Path(key).parent for key in one["good"]} | {Path("raw/my"), Path("data")}
        if one["good"]:  # all was in place, but for what comes last
            left = {file for file in left if not complete & set(file.parents)}
        assert not left
        assert not [file for file in one["files"] if "/.my." in file or "/.seed-0" in file]
        assert one["again"]["code"] == 0, one["again"]["said"]
        assert one["again"]["good"] == told[-1]["good"]
        check_work_is_not_lost(one)


def test_what_a_killed_writer_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from negbench.pipelines import atomic
    from negbench.pipelines.manifest import KIND

    monkeypatch.chdir(tmp_path)
    target = sources.manifest_folder("my")
    for left in (".my.bench-abcd1234", ".other.bench-abcd1234", ".my.abcd1234", ".my.bench-notours"):
        (target.parent / left).mkdir(parents=True)
        (target.parent / left / "file").touch()
    with atomic.new_folder(target, KIND) as held, atomic.new_folder(target, KIND) as other:
        assert held.exists()  # another writer's, at work
        (held / KIND.mark).touch()
        (other / KIND.mark).touch()
    names = {path.name for path in target.parent.iterdir()}
    assert names == {"my", ".my.abcd1234", ".my.bench-notours"}
