"""What the client of a sweep knows of its cells: who runs since when, their logs, how they ended."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from time import localtime, strftime
from typing import TYPE_CHECKING

from negbench.benchmark.reports.watch.cell_log import CellLog
from negbench.benchmark.reports.watch.estimates import Pace, Times, kind_of, left_in_all, recorded_times
from negbench.benchmark.reports.watch.rows_so_far import Names, rows_so_far
from negbench.benchmark.reports.watch.shown import CellShown, FailureShown, WorkShown
from negbench.benchmark.results import records
from negbench.benchmark.sweeps.cell import folder_of
from negbench.benchmark.sweeps.sweep import LOGS, Done, Planned, PlannedCell

if TYPE_CHECKING:
    from negbench.benchmark.results.records import RunRecord


class Watched:
    """The cells, or the studies, of a plan."""

    def __init__(self, plan: Sequence[Planned]) -> None:
        self._cells = {cell.name: cell for cell in plan}
        self._names = Names([cell.config for cell in plan])
        self._planned = Counter(self._names.row(cell.config) for cell in self._cells.values())
        self._kinds = {name: kind_of(cell.config) for name, cell in self._cells.items()}
        cells = {name: cell for name, cell in self._cells.items() if isinstance(cell, PlannedCell)}
        before, there = recorded_times({cell.config.dataset for cell in cells.values()})
        self._times = Times(before)
        self._there = {name for name, cell in cells.items() if not cell.force and cell.config.hash in there}
        """Cells that are recorded already, and cost nothing; none, once one of them is trained: of other code, say."""
        self._logs = {name: CellLog(LOGS / cell.log) for name, cell in self._cells.items()}
        self._paces: dict[str, Pace] = {}
        """Of those that run."""
        self._ended: dict[str, Done] = {}
        self._records: list[RunRecord] = []
        self._rows = rows_so_far([], self._names, self._planned)
        """Of them; made when one is added, not for each frame."""

    def running(self, names: Sequence[str], now: float) -> None:
        """These run now; one that is with another worker began anew."""
        self._paces = {name: self._paces.get(name) or Pace(now) for name in names if name not in self._ended}

    def finished(self, done: Done, now: float) -> None:
        name = done.cell.name
        self._ended[name] = done
        self._look(name, now)
        pace, log = self._paces.pop(name, None), self._logs[name]
        if done.code == 0 and pace and log.reached and (took := pace.whole(log.reached.of)):
            self._times.now[self._kinds[name]].append(took)  # one that was recorded before says no epoch
        if done.code == 0 and isinstance(done.cell, PlannedCell):
            record = records.read(folder_of(done.cell.config))
            self._records += [record] if "rsum" in record.metrics else []
            self._rows = rows_so_far(self._records, self._names, self._planned)

    def shown(self, now: float) -> WorkShown:
        """What is to be seen at a moment."""
        for name in self._paces:
            self._look(name, now)
        left = self._left(now)
        failed = [done for done in self._ended.values() if done.code != 0]
        studies = not all(isinstance(cell, PlannedCell) for cell in self._cells.values())
        return WorkShown(
            "studies" if studies else "cells",
            len(self._cells),
            len(self._ended) - len(failed),
            len(failed),
            self._left_in_all(left),
            tuple(self._cell(name, left[name]) for name in self._paces),
            tuple(FailureShown(self._name(done.cell.name), done.line, str(done.log)) for done in reversed(failed)),
            *self._rows,
        )

    def _look(self, name: str, now: float) -> None:
        count = self._logs[name].look()
        if name in self._paces:
            self._paces[name].add(count, now)
        if count and name in self._there:
            self._there.clear()

    def _name(self, name: str) -> str:
        cell = self._cells[name]
        if isinstance(cell, PlannedCell):
            return self._names.cell(cell.config)
        return f"{self._names.row(cell.config)} study"

    def _cell(self, name: str, left: float | None) -> CellShown:
        since = strftime("%H:%M", localtime(self._paces[name].began))
        cell, reached = CellShown(self._name(name), since, left_s=left), self._logs[name].reached
        return cell if reached is None else replace(cell, reached=reached.words)

    def _left(self, now: float) -> dict[str, float | None]:
        """Seconds, of each that runs."""
        found: dict[str, float | None] = {}
        for name, pace in self._paces.items():
            reached = self._logs[name].reached
            found[name] = None if reached is None else pace.left(reached.number, reached.of, now)
            guess = self._guess(name)
            if found[name] is None and guess is not None:
                found[name] = max(guess - (now - pace.began), 0.0)
        return found

    def _guess(self, name: str) -> float | None:
        if name in self._there:
            return 0.0
        whole = [pace.whole(reached.of) for name, pace in self._paces.items() if (reached := self._logs[name].reached)]
        return self._times.guess(self._kinds[name], [seconds for seconds in whole if seconds is not None])

    def _left_in_all(self, running: dict[str, float | None]) -> float | None:
        waiting = [name for name in self._cells if name not in self._paces and name not in self._ended]
        return left_in_all([*running.values()], [self._guess(name) for name in waiting])
