"""How far encoding is: bars with throughput and time left on a terminal, now and then a line when piped."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

PAUSE = 10.0
"""Seconds between two lines of the same work when piped."""

Report = Callable[[str, int, int], None]


class Speed(ProgressColumn):
    """Images or captions per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {_unit(task.description)}/s")


@contextmanager
def progress(console: Console) -> Iterator[Report]:
    """Gives a function to call with what is done, how many are done, and of how many."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, completed=done)  # what was done before has no speed
            bars.update(tasks[what], completed=done)

        yield report


def _lines(console: Console) -> Report:
    began: dict[str, tuple[float, int]] = {}
    said: dict[str, float] = {}

    def report(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        start, before = began.setdefault(what, (now, done))
        if done < before:  # begun again with smaller batches
            start, before = began[what] = (now, done)
        if done < total and now - said.setdefault(what, now) < PAUSE:
            return
        said[what] = now
        speed = (done - before) / (now - start) if now > start else 0.0
        left = f", {(total - done) / speed:,.0f} s left" if speed and done < total else ""
        rate = f", {speed:,.0f} {_unit(what)}/s" if speed else ""
        console.print(f"{what}: {done:,} of {total:,}{rate}{left}", markup=False)

    return report


def _unit(what: str) -> str:
    """``images`` of ``train images``."""
    return what.rpartition(" ")[2]
