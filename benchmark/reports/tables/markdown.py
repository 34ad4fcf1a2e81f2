"""Tables in GitHub's Markdown, and how text from outside is written in it."""

import re

from negbench.benchmark.reports.tables.sheet import (
    Field,
    Sheet,
    by_dataset,
    legend,
    literature,
    notes,
    setting,
    title,
    whole,
)
from negbench.benchmark.results.rows import Group
from negbench.pipelines.text import one_line

SIGNS = re.compile(
    r"[\\`*~$]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # within a word it is plain
    r"|<(?=[A-Za-z/!?])|&(?=[#\w])"  # of HTML
    r"|\](?=[(\[:])|\[(?=\^)|:(?=//)|(?<=www)\."  # of links and footnotes
)
"""What Markdown takes for its own, where it does: numbers, brackets and signs of comparison stay readable."""


def markdown(groups: list[Group]) -> str:
    """Tables with headings and notes; the second best is underlined by ``<ins>``, all that GitHub allows."""
    parts = []
    for line, tables in by_dataset(groups):
        parts += [paragraph(line)] if line else []
        for group in tables:
            parts += [f"**{escape(title(group))}**  \n{paragraph(setting(group))}", _table(whole(group))]
            parts += [_table(literature(group.published))] if group.published else []
            parts += map(paragraph, notes(group))
    return "\n\n".join([*parts, legend(groups)]) + "\n"


def escape(text: str) -> str:
    """For the inside of a line."""
    return SIGNS.sub(r"\\\g<0>", one_line(text))


def in_cell(text: str) -> str:
    """For a cell of a table."""
    return escape(text).replace("|", r"\|")


def paragraph(text: str) -> str:
    """For a line of its own: it is no heading, list or quotation."""
    return re.sub(r"^([#+=>-]|\d+(?=[.)]))", lambda found: _literal(found[0]), escape(text))


def _literal(start: str) -> str:
    return f"{start}\\" if start.isdigit() else f"\\{start}"


def code(text: str) -> str:
    """For a cell, in the letters of a program where no sign in it forbids that."""
    line = one_line(text)
    return in_cell(line) if not line or re.search(r"[`|\\]", line) else f"`{line}`"


def _table(sheet: Sheet) -> str:
    from tabulate import tabulate

    body = [[_cell(cell, key) for cell, key in zip(row, sheet.keys, strict=True)] for row in sheet.body]
    headers = [f"{column.above} {column.name}".strip() for column in sheet.columns]
    sides = ["left" if column.left else "right" for column in sheet.columns]
    return tabulate(body, headers, "pipe", disable_numparse=True, colalign=sides)


def _cell(cell: Field, key: str) -> str:
    text = code(cell.text) if key == "method" else in_cell(cell.text)
    text = (text, f"**{text}**", f"<ins>{text}</ins>")[cell.place]
    return text + f" {cell.mark}" * bool(cell.mark) + f" ({cell.remark})" * bool(cell.remark)
