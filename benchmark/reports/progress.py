"""How far work is: bars at the foot of a terminal, lines where it is piped, a line per epoch, trial or cell everywhere.

Needs no torch.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.terminal.study import brief
from negbench.benchmark.sweeps.studies import Trial
from negbench.benchmark.training.watcher import History, Watcher
from negbench.pipelines.files import Progress as Report

PAUSE = 10.0
"""Seconds between two lines of the same work when piped."""


class Speed(ProgressColumn):
    """Items per second; what they are is said, or is the last word of what is done: ``images`` of ``train images``."""

    def __init__(self, unit: str = "") -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {self.unit or _unit(task.description)}/s" if speed else "")


def bars(console: Console, *columns: ProgressColumn, width: int = 40, stays: bool = False) -> Progress:
    """Bars with what is done before them and the time left behind; nothing where there is no terminal.

    Args:
        console: where they are shown.
        columns: between a bar and its time.
        width: of a bar.
        stays: whether they are still there when all is done.
    """
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=width),
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=not stays,
        disable=not console.is_terminal,
    )


class WithBars:
    """Shows bars as long as it is open: a context manager."""

    def __init__(self, console: Console, shown: Progress) -> None:
        self.console, self.bars = console, shown

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()


# --- Files and features -----------------------------------------------------------------------------------------


@contextmanager
def encoding(console: Console) -> Iterator[Report]:
    """Gives a function to call with what is done, how many are done, and of how many."""
    if console.is_terminal:
        with bars(console, MofNCompleteColumn(), Speed(), stays=True) as shown:
            yield _Bars(shown)
    else:
        yield _Lines(console, encoding_line, at_the_end=True)


@contextmanager
def transfer(console: Console) -> Iterator[Report]:
    """The same for bytes; a total of 0 is one that is not known. What is quick needs no line."""
    if console.is_terminal:
        with bars(console, DownloadColumn(), TransferSpeedColumn(), width=20, stays=True) as shown:
            yield _Bars(shown)
    else:
        yield _Lines(console, transfer_line, at_the_end=False)


class _Bars:
    """A bar for each thing that is done."""

    def __init__(self, shown: Progress) -> None:
        self.shown = shown
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self.tasks:  # what was done before has no speed
            self.tasks[what] = self.shown.add_task(what, total=total or None, completed=done)
        self.shown.update(self.tasks[what], completed=done)


class _Lines:
    """Now and then a line of each thing that is done."""

    def __init__(self, console: Console, line: Callable[[str, int, int, float], str], at_the_end: bool) -> None:
        self.console, self.line, self.at_the_end = console, line, at_the_end
        self.began: dict[str, tuple[float, int]] = {}
        self.said: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        start, before = self.began.setdefault(what, (now, done))
        if done < before:  # begun again, as with smaller batches
            start, before = self.began[what] = (now, done)
        ended = self.at_the_end and done >= total
        if not ended and now - self.said.setdefault(what, now) < PAUSE:
            return
        self.said[what] = now
        speed = (done - before) / (now - start) if now > start else 0.0
        self.console.print(self.line(what, done, total, speed), markup=False)


def encoding_line(what: str, done: int, total: int, speed: float) -> str:
    rate = f", {speed:,.0f} {_unit(what)}/s" if speed else ""
    return f"{what}: {done:,} of {total:,}{rate}{_left(done, total, speed)}"


def transfer_line(what: str, done: int, total: int, speed: float) -> str:
    of = f" of {decimal(total)}" if total else ""
    return f"{what}: {decimal(done)}{of}, {decimal(int(speed))}/s{_left(done, total, speed)}"


def _left(done: int, total: int, speed: float) -> str:
    return f", {(total - done) / speed:,.0f} s left" if speed and done < total else ""


def _unit(what: str) -> str:
    """``images`` of ``train images``."""
    return what.rpartition(" ")[2]


# --- Trainings --------------------------------------------------------------------------------------------------


class ShowTraining(WithBars, Watcher):
    """A line per epoch, and a bar over all steps."""

    def __init__(self, console: Console, config: RunConfig) -> None:
        super().__init__(console, bars(console, MofNCompleteColumn(), Speed("steps")))
        self.config = config
        self.task = self.bars.add_task("training", total=None)

    def step(self, epoch: int, step: int, steps: int) -> None:
        done, total = epoch * steps + step, steps * self.config.epochs
        self.bars.update(self.task, description=f"epoch {epoch + 1}/{self.config.epochs}", completed=done, total=total)

    def epoch(self, row: History) -> None:
        self.console.print(epoch_line(row, self.config), markup=False)

    def said(self, line: str) -> None:
        self.console.print(line, markup=False)


def epoch_line(row: History, config: RunConfig) -> str:
    """One epoch in one line of less than 80 characters."""
    number = int(row["epoch"])
    line = f"epoch {number + 1:>2}/{config.epochs}  loss {row['loss']:.4f}  val rSum {row['val_rsum']:6.1f}"
    if "false_negative_both" in row:
        line += f"  false negatives {100 * row['false_negative_both']:4.1f}%"
    line += f"  {row['seconds']:.1f}s"
    return line + ("  warm-up" if number < config.warmup_epochs else "")


def trial_line(row: Trial, best: Trial | None, trials: int, defaults: Mapping[str, Any]) -> str:
    """Number, state, rSum, best so far, and the settings that differ from the defaults."""
    line = f"trial {row.number:>{len(str(trials))}}/{trials}  {row.state:<8}"
    line += f"  rSum {'     –' if row.rsum is None else format(row.rsum, '6.1f')}"
    line += f"  best {'     –' if best is None else format(best.rsum, '6.1f')}"
    line += "  collapsed" if row.collapsed else ""
    line += "  no better than the warm-up" if row.warmup else ""
    return f"{line}  {row.error or changed(row, defaults) or 'defaults'}"


def changed(row: Trial, defaults: Mapping[str, Any]) -> str:
    """The settings of a trial that differ from the defaults; empty where none does."""
    return " ".join(f"{key}={brief(value)}" for key, value in row.settings.items() if value != defaults[key])
