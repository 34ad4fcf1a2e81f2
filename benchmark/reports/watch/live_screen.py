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
    """Shows what ``shown`` gives for a moment, once a second at most; the last frame stays. A context manager."""

    def __init__(self, console: Console, shown: Callable[[float], WorkShown]) -> None:
        self._shown, self._drawn = shown, 0.0
        self._live = Live(console=console, auto_refresh=False)

    def draw(self) -> None:
        now = time.time()
        if not 0 <= now - self._drawn < PAUSE:
            self._draw(now, refresh=True)

    def line(self, line: Text) -> None:
        """A line above, and a new frame, in one go."""
        self._draw(time.time(), refresh=False)
        self._live.console.print(line)

    def _draw(self, now: float, refresh: bool) -> None:
        self._drawn = now
        self._live.update(Frame(self._shown(now)), refresh=refresh)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
