"""A sweep as it is seen: a line for each cell that ended; on a terminal, one screen of all cells below these lines."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from negbench.benchmark.reports.watch.live_screen import LiveScreen
from negbench.benchmark.reports.watch.watched import Watched
from negbench.benchmark.sweeps.sweep import Done, Planned


class ShowSweep:
    """A context manager."""

    def __init__(self, console: Console, plan: Sequence[Planned]) -> None:
        self._console = console
        self._watched = Watched(plan) if console.is_terminal else None
        self._screen = LiveScreen(console, self._watched.shown) if self._watched else None

    def running(self, names: Sequence[str]) -> None:
        """These run now."""
        if self._watched and self._screen:
            self._watched.running(names, time.time())
            self._screen.draw()

    def finished(self, done: Done) -> None:
        """One ended."""
        mark, style, log = ("ok", "green", "") if done.code == 0 else ("failed", "bold red", f"  (log: {done.log})")
        line = Text(f"{mark:>6}  {done.cell.name}  {done.line}{log}", style)
        if self._watched and self._screen:
            self._watched.finished(done, time.time())
            self._screen.line(line)
        else:
            self._console.print(line)

    def __enter__(self) -> Self:
        if self._screen:
            self._screen.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._screen:
            self._screen.__exit__(kind, error, trace)
