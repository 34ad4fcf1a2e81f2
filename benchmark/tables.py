"""The leaderboard as text: for a terminal (Rich), Markdown, LaTeX, CSV and JSON."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from benchmark.leaderboard import FALSE_NEGATIVES, RECALLS, TRUE, Group, Row, describe, differences, flat

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MISSING = "–"
PIPE = 1000
"""Columns to write in where there is no terminal: enough for every table."""
LEGEND = (
    "Mean ± sample standard deviation over the seeds; the best of a column is bold."
    " true rSum: any candidate that is true of the query counts as found."
    " false neg. %: share of the chosen negatives that are true of their anchor."
    " step ms: a training step, and in brackets its ratio to the two bare similarity products."
)
NAMES = ("method", "memory", "n")
ACCURACY = (*RECALLS, "rsum")
COST = (TRUE, FALSE_NEGATIVES, "step_ms")
HEADERS = {
    "method": ("", "method"),
    "memory": ("", "memory"),
    "n": ("", "n"),
    **{key: (key[:3], f"R@{key[5:]}") for key in RECALLS},
    "rsum": ("", "rSum"),
    TRUE: ("true", "rSum"),
    FALSE_NEGATIVES: ("false", "neg. %"),
    "step_ms": ("step ms", "(ratio)"),
}
TEXT = ("method", "memory")
"""Columns aligned to the left."""


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table."""

    text: str
    best: bool = False
    remark: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table before it has a format."""

    columns: tuple[str, ...]
    body: list[list[Cell]]


def sheet(group: Group, columns: tuple[str, ...], spread: tuple[str, ...] = ACCURACY) -> Sheet:
    """The given columns of a table; those in ``spread`` with their standard deviation.

    Recall under true positives stands only where the truth is known.
    """
    columns = tuple(name for name in columns if name != TRUE or any(TRUE in row.stats for row in group.rows))
    return Sheet(columns, [[_cell(group, row, column, column in spread) for column in columns] for row in group.rows])


def _cell(group: Group, row: Row, column: str, spread: bool) -> Cell:
    if column == "method":
        return Cell(row.method, remark=remark(row))
    if column == "memory":
        return Cell(_memory(group, row))
    if column == "n":
        return Cell(str(len(row.seeds) - row.failed))
    if column not in row.stats:
        return Cell(MISSING)
    stat = row.stats[column]
    text = f"{stat.mean:.1f}"
    if spread and stat.std is not None:
        text += f" ±{stat.std:.1f}"
    if column == "step_ms":
        text += f" ({row.stats['step_ratio'].mean:.1f}×)" if "step_ratio" in row.stats else ""
    return Cell(text, best=group.is_best(row, column))


def _memory(group: Group, row: Row) -> str:
    if row.momentum is None:
        return "in batch"
    several = len({other.momentum for other in group.rows if other.momentum is not None}) > 1
    return f"{row.memory:,}" + (f" @{row.momentum:g}" if several else "")


def remark(row: Row) -> str:
    """What a reader must know of a row before believing it."""
    parts = [(row.failed, "failed"), (row.collapsed, "collapsed†"), (row.warmup, "warm-up‡")]
    return ", ".join(f"{count} of {len(row.seeds)} {what}" for count, what in parts if count)


def title(group: Group) -> str:
    """What the numbers of a table are of."""
    return f"{group.dataset} · {describe(group.protocol)}"


def setting(group: Group) -> str:
    """How the cells of a table were trained."""
    recipe = group.recipe
    shown = f"encoder {recipe['encoder']} · {recipe['epochs']} epochs · batch {recipe['batch']}"
    return f"{shown} · {_seeds(group.seeds)}"


def _seeds(seeds: tuple[int, ...]) -> str:
    whole = len(seeds) > 2 and seeds == tuple(range(seeds[0], seeds[-1] + 1))
    text = f"{seeds[0]}–{seeds[-1]}" if whole else ", ".join(map(str, seeds))
    return f"seed{'s' if len(seeds) > 1 else ''} {text}"


def notes(group: Group) -> Iterator[str]:
    """Warnings below a table."""
    if any(row.collapsed for row in group.rows):
        yield "† Collapsed: the model no longer tells positives from negatives. Averaged in, with the other seeds."
    if any(row.warmup for row in group.rows):
        yield "‡ No epoch of the method beat the warm-up on validation, so the warm-up's weights were tested."
    if any(row.failed for row in group.rows):
        yield "A row with a failed seed has no means."
    sets: dict[tuple[int, ...], list[str]] = {}
    for row in group.rows:
        sets.setdefault(row.seeds, []).append(f"{row.method} ({_memory(group, row)})")
    if len(sets) > 1:
        which = "; ".join(f"{_seeds(seeds)}: {', '.join(rows)}" for seeds, rows in sets.items())
        yield f"The rows have different seeds, so they are not paired. {which}."
    if group.repeated:
        yield f"{group.repeated} older record(s) of cells that were run again are left out."


def by_dataset(groups: Iterable[Group]) -> Iterator[tuple[str, list[Group]]]:
    """The tables of each dataset, after a line that says in what they differ (empty where there is one)."""
    for dataset, some in groupby(groups, key=lambda group: group.dataset):
        tables = list(some)
        parts = [f"{name}: {' | '.join(map(str, values))}" for name, values in differences(tables).items()]
        yield f"{dataset} has {len(tables)} tables, which differ in {'; '.join(parts)}." if parts else "", tables


# --- Terminal ---------------------------------------------------------------------------------------------------


def show(groups: list[Group], console: "Console") -> None:
    """Print tables that fit the terminal. What has no room: deviations first, then cost gets a table of its own."""
    from rich.text import Text

    if not console.is_terminal:
        console.width = PIPE
    for line, tables in by_dataset(groups):
        if line:
            console.print(Text(line + "\n", style="yellow"))
        for group in tables:
            console.print(Text(title(group), style="bold"))
            console.print(Text(setting(group) + "\n", style="dim"))
            for table in _fitting(group, console):
                console.print(table, "")
            for note in notes(group):
                console.print(Text(note + "\n", style="yellow"))
    console.print(Text(LEGEND, style="dim"))


def plain(groups: list[Group]) -> str:
    """What a terminal shows, without colours and as wide as it needs."""
    from rich.console import Console

    text = io.StringIO()
    show(groups, Console(file=text, highlight=False))
    return text.getvalue()


def _fitting(group: Group, console: "Console") -> list["Table"]:
    for spread in (ACCURACY, ("rsum",)):
        table = _rich_table(sheet(group, (*NAMES, *ACCURACY, *COST), spread))
        if console.measure(table, options=console.options.update(width=PIPE)).maximum <= console.width:
            return [table]
    return [
        _rich_table(sheet(group, (*NAMES, *ACCURACY), ("rsum",))),
        _rich_table(sheet(group, (*NAMES, *COST))),
    ]


def _rich_table(sheet: Sheet) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    for column in sheet.columns:
        left = column in TEXT
        header = "\n".join(HEADERS[column])
        table.add_column(header, justify="left" if left else "right", overflow="fold", no_wrap=not left)
    for row in sheet.body:
        table.add_row(
            *(
                Text.assemble(
                    (cell.text, "bold green" if cell.best else ""), (f"\n{cell.remark}" * bool(cell.remark), "red")
                )
                for cell in row
            )
        )
    return table


# --- Documents --------------------------------------------------------------------------------------------------


def markdown(groups: list[Group]) -> str:
    """GitHub's Markdown."""
    from tabulate import tabulate

    def cell(cell: Cell, column: str) -> str:
        text = f"`{cell.text}`" if column == "method" else cell.text
        text = f"**{text}**" if cell.best else text
        return (f"{text} ({cell.remark})" if cell.remark else text).replace("|", "\\|")

    parts = []
    for line, tables in by_dataset(groups):
        parts += [line] if line else []
        for group in tables:
            page = sheet(group, (*NAMES, *ACCURACY, *COST))
            body = [[cell(c, column) for c, column in zip(row, page.columns, strict=True)] for row in page.body]
            parts += [f"**{title(group)}**  \n{setting(group)}"]
            parts += [tabulate(body, _headers(page), "pipe", disable_numparse=True, colalign=_alignment(page))]
            parts += notes(group)
    return "\n\n".join([*parts, LEGEND]) + "\n"


def _headers(page: Sheet) -> list[str]:
    return [" ".join(HEADERS[column]).strip() for column in page.columns]


def _alignment(page: Sheet) -> list[str]:
    return ["left" if column in TEXT else "right" for column in page.columns]


LATEX = {
    "\\": r"\textbackslash{}",
    **{character: rf"\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "·": r"$\cdot$",
    "–": "--",
}


def _above(page: Sheet) -> str:
    """The first line of the header, from rSum on."""
    return " & ".join(_tex(HEADERS[column][0]) for column in page.columns[page.columns.index("rsum") :])


def _tex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def latex(groups: list[Group]) -> str:
    r"""LaTeX, one ``table`` each; needs ``\usepackage{booktabs}``."""

    def cell(cell: Cell) -> str:
        text = rf"\textbf{{{_tex(cell.text)}}}" if cell.best else _tex(cell.text)
        return f"{text} ({_tex(cell.remark)})" if cell.remark else text

    lines = []
    for line, tables in by_dataset(groups):
        lines += [f"% {line}"] if line else []
        for group in tables:
            page = sheet(group, (*NAMES, *ACCURACY, *COST))
            below = " ".join([LEGEND, *notes(group)])
            lines += [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{_tex(title(group))}; {_tex(setting(group))}. {_tex(below)}}}",
                r"\begin{tabular}{" + "".join(side[0] for side in _alignment(page)) + "}",
                r"\toprule",
                r" & & & \multicolumn{3}{c}{i2t} & \multicolumn{3}{c}{t2i} & " + _above(page) + r" \\",
                r"\cmidrule(lr){4-6}\cmidrule(lr){7-9}",
                " & ".join(_tex(HEADERS[column][1]) for column in page.columns) + r" \\",
                r"\midrule",
                *(" & ".join(map(cell, row)) + r" \\" for row in page.body),
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
    return "\n".join(lines)


# --- Programs ---------------------------------------------------------------------------------------------------


def as_csv(groups: list[Group]) -> str:
    """One line per row of every table; nothing stands where a value is missing."""
    rows = flat(groups)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"seeds": " ".join(map(str, row["seeds"]))} for row in rows)
    return text.getvalue()


def as_json(groups: list[Group]) -> str:
    """A list with one object per row of every table; null stands where a value is missing."""
    return json.dumps(flat(groups), indent=2, ensure_ascii=False) + "\n"
