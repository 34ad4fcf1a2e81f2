"""Whatever its streams are, and whatever goes wrong, a command ends in one clean line and an exit code."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from commands import BENCH, bench
from negbench.benchmark.cli.main import told
from negbench.benchmark.errors import BenchError, RunFailedError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.training import devices
from negbench.benchmark.training.loop import failing
from negbench.pipelines.text import UNSEEN

# --- Streams ----------------------------------------------------------------------------------------------------


def run(*words: str, closed: tuple[int, ...] = (), **environment: str) -> "subprocess.CompletedProcess[str]":
    def close() -> None:
        for number in closed:
            os.close(number)

    return subprocess.run(
        [*BENCH, *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=close,
        errors="replace",
    )


@pytest.mark.parametrize("encoding", ["ascii:strict", "latin-1:strict"])
def test_what_an_encoding_lacks_is_replaced(encoding: str) -> None:
    done = run("data", "list", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (
        0,
        "how to get f8k, f30k, coco, f30k-entities, stamps: bench data where NAME\n",
    )
    assert "| ?" in done.stdout
    done = run("data", "list–", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no such command 'list?'")


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_closed_streams_lead_nowhere(closed: tuple[int, ...]) -> None:
    done = run("methods", closed=closed)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("hardest" in done.stdout) == (1 not in closed)
    assert run("methodss", closed=closed).returncode == 2


def test_nothing_printed_enters_a_file_that_has_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    script = (
        "from negbench.benchmark.cli.__main__ import mend_streams\n"
        "mend_streams()\n"
        "with open('file', 'w') as file:\n"
        "    print('from Python')\n"
        "    __import__('os').system('echo from a child; echo and this >&2')\n"
        "    file.write('all there is')\n"
    )
    command = [sys.executable, "-c", script]

    def close() -> None:
        os.closerange(0, 3)

    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, preexec_fn=close)
    assert (tmp_path / "file").read_text() == "all there is"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["methods"], ["methods", "--json"], ["--help"]])
def test_a_full_stdout_is_one_line(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*BENCH, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "error: No space left on device; make room and run the same command again\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_stderr_changes_no_exit_code() -> None:
    with Path("/dev/full").open("w") as full:
        assert subprocess.run([*BENCH, "methodss"], stderr=full, check=False).returncode == 2


def test_a_reader_of_errors_that_had_enough_ends_the_command() -> None:
    with subprocess.Popen([*BENCH, "methodss"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
    assert process.returncode in (1, 2)


# --- Errors -----------------------------------------------------------------------------------------------------


def told_of(action: Callable[[], Any], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(typer.Exit) as ended, told():
        action()
    return ended.value.exit_code, capsys.readouterr().err


def deep() -> None:
    deep()


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (lambda: torch.empty(2**60), "out of memory, asked for 4,611,686,018,427,387,904 bytes"),
        (lambda: bytearray(2**62), "out of memory"),
        (deep, "internal: RecursionError: maximum recursion depth exceeded"),
        (lambda: dict[str, int]()["a\nb"], "internal: KeyError: "),
        (lambda: "\ud800".encode(), "internal: UnicodeEncodeError: "),
        (lambda: range(10**30).__len__(), "internal: OverflowError: "),
        (lambda: int("x\x1b[2J\n"), "internal: ValueError: "),
    ],
)
def test_an_unknown_error_is_one_line_and_1(
    action: Callable[[], Any], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCH_DEBUG", raising=False)
    code, line = told_of(action, capsys)
    assert code == 1
    assert line.startswith(f"error: {said}")
    assert line.count("\n") == 1
    assert ("BENCH_DEBUG=1 shows where" in line) == ("internal" in said)
    assert not UNSEEN.search(line)
    monkeypatch.setenv("BENCH_DEBUG", "1")
    with pytest.raises((RuntimeError, MemoryError, LookupError, ValueError, OverflowError)), told():
        action()


def test_a_training_without_memory_says_so() -> None:
    with (
        pytest.raises(RunFailedError, match=r"^epoch 3 failed: out of memory, asked for [0-9,]+ bytes; use a"),
        failing("epoch 3"),
    ):
        torch.empty(2**60)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--memory 100000000 --set dim=65536", "memory: 100,000,000 pairs of dim 65,536 take 52,428.8 GB, and cpu has"),
        ("--memory 100000001", "memory: 100000001 must be at most 100000000"),
        ("--memory 1" + "0" * 400, "memory: "),
        ("--set threads=1000000", "threads: 1000000 must be at most 1024"),
        ("--set dim=65537", "dim: 65537 must be at most 65536"),
        ("--epochs 99999999999999999999", "epochs: 99999999999999999999 must be at most 1000000"),
        ("--set learning_rate=.inf", "learning_rate: inf is not finite"),
        ("--set clip=1e999", "clip: inf is not finite"),
        ("--device meta", "device 'meta' cannot be used for a training"),
        ("--device cpu:7", "device 'cpu:7' cannot be used for a training"),
        ("--device privateuseone", "device 'privateuseone' cannot be used for a training"),
        ("--device cuda:99", "device 'cuda:99' cannot be used here"),
        ("--device cuda:99999999999999999999", "device 'cuda:99999999999999999999' cannot be used here"),
    ],
)
def test_a_size_or_device_that_cannot_be_is_told_before_anything_runs(words: str, said: str, tiny: object) -> None:
    before = sorted(Path().rglob("*"))
    done = bench("run", "--dataset", "tiny", "--method", "random", *words.split())
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"error: {said}")
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [
        "speed --method fne --dim",
        "speed --method fne --memory",
        "speed --evaluation --images",
        "speed --evaluation --threads",
        "sweep --methods fne --datasets x --seeds",
        "features --dataset x --batch",
        "tune --method fne --dataset x --trials",
    ],
)
def test_a_size_of_another_command_has_a_bound(words: str) -> None:
    done = bench(*words.split(), "1" + "0" * 30)
    assert (done.exit_code, done.stdout) == (2, "")
    assert re.fullmatch(r"error: --[a-z]+: '10+' must be at most \d+ \(see bench [a-z]+ --help\)\n", done.stderr)


def test_the_bound_of_the_memory_can_be_kept() -> None:
    config = RunConfig(method="fne", dataset="x", encoder="x", dim=2**16, memory=10**8)
    room = devices.room_of("cpu")
    devices.check_cell(config.model_copy(update={"memory": room // (8 * config.dim)}))
    half = config.model_copy(update={"memory": room // (6 * config.dim)})
    devices.check_cell(half.model_copy(update={"memory_precision": "float16"}))
    with pytest.raises(BenchError, match=f"use less than {room // (8 * config.dim):,}"):
        devices.check_cell(half)
