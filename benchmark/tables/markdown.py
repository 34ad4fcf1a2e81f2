"""The leaderboard in GitHub's Markdown."""

from benchmark.leaderboard import Group
from benchmark.tables.sheet import Cell, Sheet, by_dataset, legend, literature, notes, setting, title, whole


def markdown(groups: list[Group]) -> str:
    """Tables with headings and notes; the second best is underlined by ``<ins>``, all that GitHub allows."""
    parts = []
    for line, tables in by_dataset(groups):
        parts += [line] if line else []
        for group in tables:
            parts += [f"**{title(group)}**  \n{setting(group)}", _table(whole(group))]
            parts += [_table(literature(group.published))] if group.published else []
            parts += notes(group)
    return "\n\n".join([*parts, legend(groups)]) + "\n"


def _table(sheet: Sheet) -> str:
    from tabulate import tabulate

    body = [[_cell(cell, key) for cell, key in zip(row, sheet.keys, strict=True)] for row in sheet.body]
    headers = [f"{column.above} {column.name}".strip() for column in sheet.columns]
    sides = ["left" if column.left else "right" for column in sheet.columns]
    return tabulate(body, headers, "pipe", disable_numparse=True, colalign=sides)


def _cell(cell: Cell, key: str) -> str:
    text = f"`{cell.text}`" if key == "method" else cell.text.replace("*", "\\*")
    text = (text, f"**{text}**", f"<ins>{text}</ins>")[cell.place]
    text += f" {cell.mark}" * bool(cell.mark) + f" ({cell.remark})" * bool(cell.remark)
    return text.replace("|", "\\|")
