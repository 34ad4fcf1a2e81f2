"""Start the processes of a cell on this machine, as torchrun would, and end all of them when one ends badly."""

import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from negbench.benchmark.sweeps.processes import Children

if TYPE_CHECKING:
    import subprocess

PATIENCE_S = 20.0
"""For processes that were asked to end, before they are killed."""
LOOK_S = 0.05


def launch(count: int, words: Sequence[str]) -> int:
    """Run ``bench`` with these words ``count`` times together; the exit code of the first that failed, or 0.

    A process that was killed is a run that failed.
    """
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
    children = Children(PATIENCE_S)
    running = [children.start(words, {**where, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(count)]
    with passing_on(running):
        while any(process.poll() is None for process in running) and not any(process.poll() for process in running):
            time.sleep(LOOK_S)
        code = next((code for code in (process.poll() for process in running) if code), 0)
        children.end()
    children.close()
    return 1 if code < 0 else code


@contextmanager
def passing_on(running: "Sequence[subprocess.Popen[bytes]]") -> Iterator[None]:
    """While inside, SIGTERM goes on to the processes; Ctrl-C reaches them by itself."""

    def tell(number: int, frame: FrameType | None) -> None:
        for process in running:
            process.send_signal(number)

    handlers: dict[int, Any] = {signal.SIGTERM: tell, signal.SIGINT: signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
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
