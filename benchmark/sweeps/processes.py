"""Processes that end with the one that started them, however that ends. They never import from the current folder."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from negbench.benchmark.speed.environment import environment

PARENT = "BENCH_PARENT"
"""The environment's word to a child: its parent's number, and a pipe that is open as long as that lives."""
UNTRACKED = "BENCH_UNTRACKED"
"""In the environment of a child: whoever started it lets DVC track what it made."""
PATIENCE = 5.0
"""Seconds between asking the children to end and ending them."""
PR_SET_PDEATHSIG = 1
"""Of Linux's ``prctl``."""
ENDING = ("SIGTERM", "SIGHUP")
"""Signals that end a command like an interrupt."""
COMMANDS = "negbench.benchmark.cli"


class Children:
    """Starts ``bench`` commands, and other modules of the suite."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._read, self._write = os.pipe()  # nobody writes: it is closed when this process ends
        self._running: list[subprocess.Popen[bytes]] = []

    def start(
        self, words: Sequence[str], surroundings: Mapping[str, str], module: str = COMMANDS, **streams: Any
    ) -> "subprocess.Popen[bytes]":
        """A command that runs, with more in its environment; its streams are those of this process if not given.

        Call it from a thread that lives as long as the child is to: on Linux that ends with it.
        """
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *words],
            pass_fds=(self._read,),
            env={**environment(), PARENT: f"{os.getpid()} {self._read}", **surroundings},
            **streams,
        )
        self._running.append(child)
        return child

    def end(self) -> None:
        """End those that run."""
        for child in self._running:
            child.terminate()
        for child in self._running:
            try:
                child.wait(self._patience)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def close(self) -> None:
        """Give the pipe back; all have ended."""
        os.close(self._read)
        os.close(self._write)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """What would end the process at once, and leave its children, is an interrupt inside."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # Python sets no handler from another thread
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is signal.SIG_DFL:  # nohup, for one, ignores SIGHUP
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is signal.SIG_DFL:
                signal.signal(number, handler)


def end_with_parent() -> None:
    """In a child: die when its parent does. Nothing in any other process."""
    told = os.environ.pop(PARENT, None)
    if told is None:
        return
    parent, pipe = map(int, told.split())
    _die_with_parent()
    threading.Thread(target=_watch, args=(pipe,), daemon=True).start()
    if os.getppid() != parent:  # it was quicker
        os._exit(128 + signal.SIGTERM)


def _die_with_parent() -> None:
    """Ask Linux to; there it works even where Python is stuck."""
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(pipe: int) -> None:
    os.read(pipe, 1)  # waits for the end of the parent
    os._exit(128 + signal.SIGTERM)
