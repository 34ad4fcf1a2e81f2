"""The leaderboard on a terminal (Rich), and as plain text where there is none."""

import io
from typing import TYPE_CHECKING

from negbench.benchmark.reports.screen import PIPE, Screen
from negbench.benchmark.reports.tables.sheet import (
    NARROW,
    Sheet,
    by_dataset,
    legend,
    literature,
    notes,
    setting,
    stacked,
    title,
    whole,
)
from negbench.benchmark.results.rows import Group
from negbench.pipelines.text import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

FOLDED = ("method", "published", "features", "source")
"""Columns that may break their text."""
STYLES = ("", "bold green", "underline")
"""Of other places, the best, the second."""


def show(groups: list[Group], console: "Console") -> None:
    """Print tables that fit the terminal. What has no room: deviations first, then recall and the rest are apart."""
    spread = True
    for line, some in by_dataset(groups):
        if line:
            console.print(_text(line, "yellow", "\n"))
        for group in some:
            console.print(_text(title(group), "bold"))
            console.print(_text(setting(group), "dim", "\n"))
            tables, whole_spread = _fitting(group, console)
            spread = spread and whole_spread
            for table in tables:
                console.print(table, "")
            if group.published:
                console.print(_rich_table(literature(group.published), style="dim italic"), "")
            for note in notes(group):
                console.print(_text(note, "yellow", "\n"))
    console.print(_text(legend(groups, spread), "dim"))


def plain(groups: list[Group]) -> str:
    """What a terminal shows, without colours and as wide as it needs."""
    text = io.StringIO()
    show(groups, Screen(file=text, width=PIPE))
    return text.getvalue()


def _text(line: str, style: str, after: str = "") -> "Text":
    """A line that no name in it can end."""
    from rich.text import Text

    return Text(one_line(line) + after, style=style)


def _fitting(group: Group, console: "Console") -> tuple[list["Table"], bool]:
    """The first of several layouts that fits, the last where none does; and whether it has every deviation."""
    layouts = (
        ([whole(group)], True),
        ([whole(group, ("rsum",))], False),
        (stacked(group), True),
        (stacked(group, ("rsum",)), False),
        (stacked(group, ("rsum",), NARROW), False),
    )
    for sheets, spread in layouts:
        tables = [_rich_table(sheet) for sheet in sheets]
        options = console.options.update(width=PIPE)
        if all(console.measure(table, options=options).maximum <= console.width for table in tables):
            return tables, spread
    return tables, False


def _rich_table(sheet: Sheet, style: str = "") -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="dim", style=style)
    for key, column in zip(sheet.keys, sheet.columns, strict=True):
        table.add_column(
            f"{column.above}\n{column.name}",
            justify="left" if column.left else "right",
            overflow="fold",
            no_wrap=key not in FOLDED,
            style=style,
        )
    for row in sheet.body:
        table.add_row(
            *(
                Text.assemble(
                    (one_line(cell.text), STYLES[cell.place]),
                    cell.mark,
                    ("".join(f"\n{part}" for part in cell.remark.split(", ") if part), "red"),
                )
                for cell in row
            )
        )
    return table
