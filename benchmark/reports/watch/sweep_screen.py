"""A sweep as it is seen: a line for each cell that ended; on a terminal, one screen of all cells below these lines."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from negbench.benchmark.reports.watch.live_screen import LiveScreen
from negbench.benchmark.reports.watch.watched import Watched
from negbench.benchmark.sweeps.sweep import Done, Planned


class ShowSweep(LiveScreen):
    """A context manager."""

    def __init__(self, console: Console, plan: Sequence[Planned]) -> None:
        self._watched = Watched(plan) if console.is_terminal else None
        super().__init__(console, self._watched.shown if self._watched else None)

    def running(self, names: Sequence[str]) -> None:
        """These run now."""
        if self._watched:
            self._watched.running(names, time.time())
            self.draw()

    def finished(self, done: Done) -> None:
        """One ended."""
        mark, style, log = ("ok", "green", "") if done.code == 0 else ("failed", "bold red", f"  (log: {done.log})")
        if self._watched:
            self._watched.finished(done, time.time())
        self.line(Text(f"{mark:>6}  {done.cell.name}  {done.line}{log}", style))
