"""Start the processes of a cell on this machine, as torchrun would, and end all of them when one ends badly."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

PATIENCE_S = 20.0
"""For processes that were asked to end, before they are killed."""
LOOK_S = 0.05


def launch(count: int, words: Sequence[str]) -> int:
    """Run ``bench`` with these words ``count`` times together; the exit code of the first that failed, or 0."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
    command = [sys.executable, "-P", "-m", "negbench.benchmark.cli", *words]
    running = []
    for rank in range(count):
        own = {**os.environ, **where, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        running.append(subprocess.Popen(command, env=own))
    with passing_on(running):
        while True:
            codes = [process.poll() for process in running]
            bad = [code for code in codes if code]
            if bad:
                return ended(running, bad[0])
            if all(code == 0 for code in codes):
                return 0
            time.sleep(LOOK_S)


def ended(running: "Sequence[subprocess.Popen[bytes]]", code: int) -> int:
    """Ask all to end, kill those that do not, and say how it went: a process that was killed is a run that failed."""
    for process in running:
        process.terminate()
    until = time.monotonic() + PATIENCE_S
    for process in running:
        try:
            process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return code if code > 0 else 1


@contextmanager
def passing_on(running: "Sequence[subprocess.Popen[bytes]]") -> Iterator[None]:
    """While inside, SIGTERM goes on to the processes; Ctrl-C reaches them by itself."""

    def tell(number: int, frame: FrameType | None) -> None:
        for process in running:
            process.send_signal(number)

    before: dict[int, Any] = {signal.SIGTERM: signal.signal(signal.SIGTERM, tell)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port() -> int:
    """Of this machine."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
