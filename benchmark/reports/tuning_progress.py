"""How a tuning shows itself: a bar on a terminal, a line per trial everywhere."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from negbench.benchmark.sweeps.studies import Fresh, Trial
from negbench.benchmark.sweeps.tuning import TuningWatcher


class ShowTuning(TuningWatcher):
    """Prints trials to ``console``; use as a context manager."""

    def __init__(self, console: Console, trials: int, epochs: int, defaults: Mapping[str, Any]) -> None:
        self.console, self.trials, self.epochs, self.defaults = console, trials, epochs, defaults
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[best]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bars.add_task("tuning", total=None, best="", visible=False)
        self.done = 0
        """Trainings that ended here."""
        self.title = ""

    def __enter__(self) -> "ShowTuning":
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def note(self, line: str) -> None:
        self.console.print(line, style="yellow", markup=False)

    def plan(self, trainings: int) -> None:
        self.done = 0
        self.bars.reset(self.task, total=trainings * self.epochs, visible=trainings > 0)

    def begin(self, title: str) -> None:
        self.title = title

    def step(self, epoch: int, step: int, steps: int) -> None:
        completed = self.done * self.epochs + epoch + step / steps
        description = f"{self.title}, epoch {epoch + 1}/{self.epochs}"
        self.bars.update(self.task, description=description, completed=completed)

    def trial(self, row: Trial, best: Trial | None) -> None:
        self.done += 1
        if best is not None:
            self.bars.update(self.task, best=f"best {best.rsum:.1f} (trial {best.number})")
        self.console.print(trial_line(row, best, self.trials, self.defaults), markup=False)

    def fresh(self, row: Trial, run: Fresh) -> None:
        self.done += 1
        result = run.error if run.rsum is None else f"rSum {run.rsum:6.1f}"
        state = "" if run.status == "done" else f"  {run.status}"
        self.console.print(f"trial {row.number} again, seed {run.seed}{state}  {result}", markup=False)


def trial_line(row: Trial, best: Trial | None, trials: int, defaults: Mapping[str, Any]) -> str:
    """Number, state, rSum, best so far, and the settings that differ from the defaults."""
    line = f"trial {row.number:>{len(str(trials))}}/{trials}  {row.state:<8}"
    line += f"  rSum {'     –' if row.rsum is None else format(row.rsum, '6.1f')}"
    line += f"  best {'     –' if best is None else format(best.rsum, '6.1f')}"
    line += "  collapsed" if row.collapsed else ""
    line += "  no better than the warm-up" if row.warmup else ""
    changed = [f"{key}={brief(value)}" for key, value in row.settings.items() if value != defaults[key]]
    return f"{line}  {row.error or ' '.join(changed) or 'defaults'}"


def brief(value: Any) -> str:
    """A setting in four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
