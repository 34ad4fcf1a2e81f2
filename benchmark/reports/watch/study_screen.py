"""A study as it is seen: a line per trial; on a terminal, one screen of what runs and the best below these lines."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.progress import changed, trial_line
from negbench.benchmark.reports.watch.live_screen import LiveScreen
from negbench.benchmark.reports.watch.watched_study import WatchedStudy
from negbench.benchmark.sweeps.studies import Fresh, Trial, TuningWatcher
from negbench.benchmark.training.watcher import History


class ShowTuning(LiveScreen, TuningWatcher):
    """A context manager."""

    def __init__(self, console: Console, trials: int, config: RunConfig, defaults: Mapping[str, Any]) -> None:
        self._trials, self._defaults = trials, defaults
        self._study = WatchedStudy(config) if console.is_terminal else None
        super().__init__(console, self._study.shown if self._study else None)

    def note(self, line: str) -> None:
        self.line(Text(line, "yellow"))

    def plan(self, trainings: int) -> None:
        if self._study:
            self._study.plan(trainings)

    def begin(self, title: str) -> None:
        self.running([title])

    def running(self, names: Sequence[str]) -> None:
        """Trainings that are at work."""
        if self._study:
            self._study.running(names, time.time())
            self.draw()

    def step(self, epoch: int, step: int, steps: int) -> None:
        self.draw()

    def epoch(self, row: History) -> None:
        if self._study:
            self._study.epoch(int(row["epoch"]) + 1, row["val_rsum"], time.time())

    def trial(self, row: Trial, best: Trial | None) -> None:
        if self._study:
            self._study.ended(f"trial {row.number}", row.error, time.time())
            for one in (best or row, row):  # the best may be of another day
                self._study.row(one, changed(one, self._defaults))
        self.line(Text(trial_line(row, best, self._trials, self._defaults)))

    def fresh(self, row: Trial, run: Fresh) -> None:
        name = f"trial {row.number} again, seed {run.seed}"
        if self._study:
            self._study.ended(name, run.error, time.time())
        result = run.error if run.rsum is None else f"rSum {run.rsum:6.1f}"
        state = "" if run.status == "done" else f"  {run.status}"
        self.line(Text(f"{name}{state}  {result}"))
