"""A screen of many trainings: never wider than a terminal, never higher.

Where not all fits, what runs comes first, then what failed, then the best rows.
"""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from negbench.benchmark.reports.numbers import decimal
from negbench.benchmark.reports.watch.shown import CellShown, FailureShown, RowShown, WorkShown
from negbench.pipelines.text import one_line

BESIDE_A_NAME = 50
"""Columns for what is said of it."""
LONGEST_NAME, SHORTEST_NAME = 45, 12


class Frame:
    """The lines that fit a console, which keeps its last line."""

    def __init__(self, work: WorkShown) -> None:
        self.work = work

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from frame(self.work, options.max_width, options.max_height - 1)


def frame(work: WorkShown, width: int, height: int) -> list[Text]:
    """At most ``height`` lines of at most ``width`` columns."""
    name = min(LONGEST_NAME, max(width - BESIDE_A_NAME, SHORTEST_NAME))
    lines = [_counts(work)]
    lines += fitted([[line] for line in _running(work.running, name)], height - len(lines))
    lines += fitted([_failure(each, width) for each in work.failures], height - len(lines))
    room = height - len(lines)
    if work.rows and room > 1:  # a heading alone says nothing
        lines += [Text(work.heading, "dim"), *fitted([[line] for line in _rows(work.rows, name)], room - 1)]
    return [_one_line(line, width) for line in lines[: max(height, 0)]]


def fitted(parts: Sequence[list[Text]], room: int) -> list[Text]:
    """The first parts, whole, and how many more there are; all where they fit."""
    if sum(map(len, parts)) <= room:
        return [line for part in parts for line in part]
    shown: list[Text] = []
    for number, part in enumerate(parts):
        if len(shown) + len(part) >= room:
            return [*shown, Text(f"  ... and {len(parts) - number} more", "dim")] if room > 0 else []
        shown += part
    return shown


def about(seconds: float) -> str:
    """``about 40 s``, ``about 14 min``, ``about 3 h 20 min``."""
    if seconds < 60:
        return f"about {max(round(seconds), 1)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes} min" if hours else f"about {minutes} min"


def _counts(work: WorkShown) -> Text:
    left = work.total - work.done - work.failed
    line = Text(f"{work.done:,} done, ", "bold")
    line.append(f"{work.failed:,} failed", "bold red" if work.failed else "bold")
    line.append(f", {left:,} left of {work.total:,} {work.what}")
    return line.append("" if work.left_s is None or not left else f"  {about(work.left_s)} left")


def _running(cells: Sequence[CellShown], room: int) -> list[Text]:
    names = _column([cell.name for cell in cells], room)
    lines = []
    for name, cell in zip(names, cells, strict=True):
        left = "" if cell.left_s is None else f"  {about(cell.left_s)}"
        lines.append(Text(f"  {name}  {cell.reached or f'running since {cell.since}'}{left}", "cyan"))
    return lines


def _failure(failure: FailureShown, width: int) -> list[Text]:
    line, log = failure.line or "its log is empty", [Text(f"    {failure.log}", "dim")] if failure.log else []
    whole = Text(f"  {failure.name}: {line}", "red")
    if whole.cell_len <= width:
        return [whole, *log]
    return [Text(f"  {failure.name}:", "red"), Text(f"    {line}", "red"), *log]


def _rows(rows: Sequence[RowShown], room: int) -> list[Text]:
    names = _column([row.name for row in rows], room)
    lines = []
    for name, row in zip(names, rows, strict=True):
        difference = "" if row.difference is None else decimal(row.difference, sign=True)
        lines.append(Text(f"  {name}  {decimal(row.rsum):>6}  {difference:>6}  {row.said}"))
    return lines


def _column(names: Sequence[str], room: int) -> list[str]:
    """All as wide as the widest; of a longer one than fits its middle is left out, for its end has the seed."""
    short = [_shortened(one_line(name), room) for name in names]
    width = max(map(cell_len, short), default=0)
    return [name + " " * (width - cell_len(name)) for name in short]


def _shortened(name: str, room: int) -> str:
    if cell_len(name) <= room:
        return name
    tail = room // 3
    return f"{name[: max(room - tail - 1, 0)]}…{name[len(name) - tail :]}"


def _one_line(text: Text, width: int) -> Text:
    """Cleaned and cut: what a terminal would obey, or a line's end in a name, has no width to count with."""
    text = text.copy()
    text.plain = "".join(one_line(sign) or " " for sign in text.plain)
    text.no_wrap = True
    text.truncate(width, overflow="ellipsis")
    return text
