"""A screen that is drawn anew now and then, below the lines that are printed meanwhile."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from negbench.benchmark.reports.watch.frame import Frame
from negbench.benchmark.reports.watch.shown import WorkShown

PAUSE = 1.0
"""Seconds between two frames."""


class LiveScreen:
    """Prints lines; on a terminal, shows below them what ``shown`` gives, drawn anew once a second at most.

    The last frame stays. A context manager.
    """

    def __init__(self, console: Console, shown: Callable[[float], WorkShown] | None) -> None:
        """``shown``: None where there is no terminal."""
        self._console, self._shown, self._drawn = console, shown, 0.0
        self._live = Live(console=console, auto_refresh=False) if shown else None

    def draw(self) -> None:
        now = time.time()
        if not 0 <= now - self._drawn < PAUSE:
            self._draw(now)

    def line(self, line: Text) -> None:
        """A line above, and a new frame."""
        self._console.print(line)
        self._draw(time.time())

    def _draw(self, now: float) -> None:
        self._drawn = now
        if self._live and self._shown:
            self._live.update(Frame(self._shown(now)), refresh=True)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
