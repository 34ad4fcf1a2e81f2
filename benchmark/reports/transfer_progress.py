"""How far a download or unpacking is: a bar with rate and time left on a terminal, now and then a line when piped."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from negbench.benchmark.reports.encoding_progress import PAUSE, Report


@contextmanager
def progress(console: Console) -> Iterator[Report]:
    """Gives a function to call with what is done, how many bytes are done, and of how many (0: not known)."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total or None, completed=done)
            bars.update(tasks[what], completed=done)

        yield report


def _lines(console: Console) -> Report:
    began: dict[str, tuple[float, int]] = {}
    said: dict[str, float] = {}

    def report(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        start, before = began.setdefault(what, (now, done))
        if now - said.setdefault(what, now) < PAUSE:  # what is quick needs no line
            return
        said[what] = now
        speed = (done - before) / (now - start)
        of = f" of {decimal(total)}" if total else ""
        left = f", {(total - done) / speed:,.0f} s left" if total and speed else ""
        console.print(f"{what}: {decimal(done)}{of}, {decimal(int(speed))}/s{left}", markup=False)

    return report
