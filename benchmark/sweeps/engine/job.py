"""What a worker does with a job of words: the same as a process of its own, with all that it prints in a log."""

import gc
import os
import runpy
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

INTERRUPTED = 130
LOOK_S = 1.0
"""Seconds between two looks at whether a job is still wanted."""


class LeftError(Exception):
    """The worker was asked to end in the middle of a job."""


@dataclass(frozen=True)
class Place:
    """Where jobs of a client are done."""

    project: str
    """Its folder, the same on all machines."""
    mark: str = ""
    """A file in it that is there as long as the client wants its jobs done; empty: they end with the client anyway."""


@dataclass(frozen=True)
class Ended:
    """How a job ended: its exit code and the last line of its log."""

    code: int
    line: str


def run_logged(words: Sequence[str], place: Place, log: str) -> Ended:
    """Run a ``bench`` command in this process, which has run others before.

    Args:
        words: behind ``bench``.
        place: where.
        log: a file below the project's folder, which is added to.

    Raises:
        LeftError: the worker was asked to end.
        KeyboardInterrupt: the same, where that was a signal.
    """
    path = Path(log)
    with prepared(place):
        with printed_to(path):
            code = command(words)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    return Ended(code, last_line(path))


@contextmanager
def prepared(place: Place) -> Iterator[None]:
    """A job inside finds this process as if none had run before; what interrupts it is a ``LeftError``, unless it runs
    in the main thread, where it was a signal."""
    from negbench.benchmark.sweeps.processes import UNTRACKED
    from negbench.benchmark.training import devices

    os.chdir(place.project)
    os.environ[UNTRACKED] = "1"  # the client tells DVC of all cells at once
    gc.collect()  # what the job before left
    devices.begin_anew()
    try:
        with wanted(place):
            yield
    except KeyboardInterrupt:
        if threading.current_thread() is threading.main_thread():
            raise
        raise LeftError from None


def command(words: Sequence[str]) -> int:
    """What ``bench`` with these words does and prints; its exit code."""
    from negbench.benchmark.sweeps.processes import COMMANDS

    sys.argv[1:] = words
    try:
        runpy.run_module(COMMANDS, run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:  # BENCH_DEBUG=1 lets it through
        traceback.print_exc()
        return 1
    return 0


def last_line(path: Path) -> str:
    """Of a log; empty where there is none."""
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


@contextmanager
def printed_to(path: Path) -> Iterator[None]:
    """Add all that this process prints to a file, by whatever library it is printed."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with path.open("ab") as log:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)


@contextmanager
def wanted(place: Place) -> Iterator[None]:
    """While inside, the training is asked to end when its client is interrupted, or this worker is closed."""
    from negbench.benchmark.training.saving import ASKED

    ASKED.clear()
    if not place.mark:
        yield
        return
    from distributed import Status, get_worker

    worker, over = get_worker(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            if worker.status != Status.running or not Path(place.project, place.mark).exists():
                ASKED.set()

    threading.Thread(target=look, daemon=True).start()
    try:
        yield
    finally:
        over.set()
