"""How far the order of the methods carries, a line for each two orders."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from negbench.benchmark.reports.table_names import table_names
from negbench.benchmark.reports.tables.programs import csv_text
from negbench.benchmark.reports.terminal.table import plain_table
from negbench.benchmark.results.rankings import AGAIN, RANKED, Agreement, Part
from negbench.benchmark.results.rows import Group
from negbench.benchmark.results.values import ECCV, EXTENDED, PICKED, PUSHED, TRUE
from negbench.pipelines.text import json_text

LEGEND = (
    "Kendall's tau-b of two orders of the methods: 1 the same order, 0 no relation, -1 the reverse. Interval: 95 %,"
    " over methods drawn anew. It knows nothing of seeds: no order carries further than to that of another seed."
)
VALUES = {
    RANKED: "rSum",
    TRUE: "true rSum",
    EXTENDED: "extended rSum",
    ECCV: "ECCV mAP@R",
    PICKED: "picked false %",
    PUSHED: "pushed false %",
    "effective": "candidates pushed",
    "hardness": "hardness of what is pushed",
    AGAIN: "rSum of another seed",
}
HEADERS = ("rSum of", "and", "methods", "tau", "95 % interval")


def show(groups: Sequence[Group], found: Sequence[Agreement], screen: Console) -> None:
    """A table, with what it means."""
    table = plain_table(*HEADERS, left=HEADERS[:2], folds=HEADERS[:2])
    for row in _rows(groups, found):
        table.add_row(*row)
    screen.print(table)
    screen.print(Text(LEGEND, style="dim"))


def text_of(groups: Sequence[Group], found: Sequence[Agreement], layout: str) -> str:
    """As Markdown, ``csv`` or ``json``; numbers in full in the last two."""
    if layout == "md":
        from tabulate import tabulate

        body = tabulate(_rows(groups, found), HEADERS, "pipe", disable_numparse=True, colalign=_SIDES)
        return f"{body}\n\n{LEGEND}\n"
    rows = [_flat(groups, one) for one in found]
    return csv_text(list(rows[0]), rows) if layout == "csv" else json_text(rows) + "\n"


_SIDES = ("left", "left", "right", "right", "right")


def _rows(groups: Sequence[Group], found: Sequence[Agreement]) -> Iterator[tuple[str, ...]]:
    names = table_names(groups)
    for one in found:
        other = VALUES[one.value] if one.a == one.b else _said(one.b, names)
        interval = f"{one.low:+.2f} to {one.high:+.2f}"
        yield _said(one.a, names), other, str(one.methods), f"{one.tau:+.2f}", interval


def _said(part: Part, names: Sequence[str]) -> str:
    memory = f"memory {part.memory:,}" if part.memory else "in batch"
    return f"{names[part.table]}, {memory}{', tuned' if part.tuned else ''}"


def _flat(groups: Sequence[Group], one: Agreement) -> dict[str, Any]:
    names = table_names(groups)
    sides = {
        f"{side}_{key}": value
        for side, part in (("a", one.a), ("b", one.b))
        for key, value in (("table", names[part.table]), ("memory", part.memory), ("tuned", part.tuned))
    }
    return sides | {key: getattr(one, key) for key in ("value", "methods", "tau", "low", "high")}
