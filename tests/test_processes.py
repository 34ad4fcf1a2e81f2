"""Two processes that share a batch do what one does, for every registered method."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from commands import BENCH, bench_process
from negbench import methods
from negbench.benchmark.results import integrity
from negbench.benchmark.sweeps.launch import free_port
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore

Tiny = tuple[Manifest, FeatureStore]
TOGETHER = Path(__file__).with_name("together.py")
SMALL = ["--dataset", "small", "--epochs", "3", "--batch", "12", "--memory", "24", "--set", "dim=8"]


def run_together(count: int, folder: Path) -> None:
    folder.mkdir()
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
    started = [
        subprocess.Popen([sys.executable, str(TOGETHER), str(folder)], env={**os.environ, **where, "RANK": str(rank)})
        for rank in range(count)
    ]
    assert [process.wait(300) for process in started] == [0] * count


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What one process and what two leave, of every method."""
    return {}


@pytest.fixture
def both(runs: dict[int, Path], tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    if not runs:
        root = tmp_path_factory.mktemp("together")
        for count in (1, 2):
            run_together(count, root / f"{count}")
            runs[count] = root / f"{count}"
    return runs


@pytest.mark.parametrize("memory", [0, 18])
@pytest.mark.parametrize("name", methods.names())
def test_two_processes_are_one(name: str, memory: int, both: dict[int, Path]) -> None:
    one, two = (load_file(both[count] / f"{name}-{memory}") for count in (1, 2))
    assert one.keys() == two.keys()
    for key, value in one.items():
        if key.startswith("picks."):
            assert torch.equal(two[key], value), key
        else:
            torch.testing.assert_close(two[key], value, atol=1e-5, rtol=1e-5, msg=key)


def test_a_cell_of_two_processes_is_recorded_once_by_one_command(small_project: Path) -> None:
    done = bench_process("run", "--method", "fne", *SMALL, "--processes", "2", "--out", "two")
    assert done.exit_code == 0, done.output
    assert done.output.count("epoch  1/3") == 1
    again = bench_process("run", "--method", "fne", *SMALL, "--processes", "2", "--out", "two")
    assert again.exit_code == 0, again.output
    assert "already recorded" in again.output
    alone = bench_process("run", "--method", "fne", *SMALL, "--out", "one")
    assert alone.exit_code == 0, alone.output
    one, two = (integrity.read(Path(name)) for name in ("one", "two"))
    assert one.config_hash == two.config_hash  # where it ran is no part of the cell


def test_a_batch_that_cannot_be_shared_is_refused(small_project: Path) -> None:
    done = bench_process("run", "--method", "fne", *SMALL, "--batch", "15", "--processes", "2", "--out", "run")
    assert done.exit_code == 2
    assert done.stderr == "error: batch: 15 anchors cannot be shared by 2 processes; use a multiple of 2\n"  # once
    assert not Path("run").exists()


def started_together(epochs: str) -> tuple["subprocess.Popen[str]", list[int]]:
    """A cell of two processes after its first checkpoint, and their numbers."""
    words = ["run", "--method", "fne", *SMALL, "--epochs", epochs, "--processes", "2", "--out", "run"]
    started = subprocess.Popen([*BENCH, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not list(Path(".bench").glob("checkpoints/*/checkpoint.json")):
        assert time.monotonic() < until
        assert started.poll() is None, started.communicate()[1]
        time.sleep(0.1)
    found = subprocess.run(["pgrep", "-P", str(started.pid)], capture_output=True, text=True, check=True).stdout
    return started, [int(number) for number in found.split()]


def test_a_killed_process_ends_all_and_leaves_a_checkpoint(small_project: Path) -> None:
    started, children = started_together("4000")
    os.kill(children[-1], signal.SIGKILL)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 1, said
    assert not Path("run").exists()
    assert list(Path(".bench").glob("checkpoints/*/checkpoint.json"))
    other = bench_process("run", "--method", "fne", *SMALL, "--epochs", "4000", "--out", "run")
    assert other.exit_code == 2
    assert "is of 2 processes, not 1" in other.stderr


def test_no_process_outlives_a_killed_command(small_project: Path) -> None:
    started, children = started_together("4000")
    started.kill()
    started.communicate(timeout=60)
    until = time.monotonic() + 30
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < until
        time.sleep(0.1)
