"""The leaderboard as a page: one HTML file that needs no other."""

from collections.abc import Iterator
from html import escape as escape_signs

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
from negbench.pipelines.text import clean

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
thead tr:first-child th { border-top: 2px solid; padding-top: .4rem }
thead tr:last-child th { border-bottom: 1px solid }
tbody tr:last-child td { border-bottom: 2px solid }
th { font-weight: 500; text-align: right } th.span { text-align: center }
td { text-align: right; white-space: nowrap } th, td { padding: .1rem .5rem } .left { text-align: left }
td.left { white-space: normal }
.published { color: #555; font-style: italic } .setting, .legend { color: #555 } .remark { color: #a00 }
.scroll { overflow-x: auto }
"""
OPEN, CLOSE = ("", "<b>", "<u>"), ("", "</b>", "</u>")
"""Around what has another place, the best, the second."""
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:;'
    " style-src 'unsafe-inline'\">"
)
"""No script, nothing from elsewhere, whatever stands in a page."""


def escape(text: str) -> str:
    """For the text of a page, and for an attribute in quotes."""
    return escape_signs(clean(text))


def html(groups: list[Group]) -> str:
    """All tables with their headings and notes."""
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            POLICY,
            '<meta name="viewport" content="width=device-width">',
            f"<title>Leaderboard</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>Leaderboard</h1>",
            *_body(groups),
            f'<p class="legend">{escape(legend(groups))}</p>\n</body>\n</html>\n',
        ]
    )


def _body(groups: list[Group]) -> Iterator[str]:
    for line, tables in by_dataset(groups):
        if line:
            yield f"<p>{escape(line)}</p>"
        for group in tables:
            yield f'<h2>{escape(title(group))}</h2>\n<p class="setting">{escape(setting(group))}</p>'
            yield _table(whole(group))
            if group.published:
                yield _table(literature(group.published), "published")
            yield from (f"<p>{escape(note)}</p>" for note in notes(group))


def _table(sheet: Sheet, kind: str = "own") -> str:
    above = "".join(
        f'<th class="span" colspan="{span}">{escape(text)}</th>'
        if text and span > 1
        else f"<th>{escape(text)}</th>" * span
        for text, span in sheet.above
    )
    left = [' class="left"' if column.left else "" for column in sheet.columns]
    names = "".join(f"<th{side}>{escape(column.name)}</th>" for column, side in zip(sheet.columns, left, strict=True))
    rows = (
        "<tr>" + "".join(f"<td{side}>{_cell(cell)}</td>" for cell, side in zip(row, left, strict=True)) + "</tr>"
        for row in sheet.body
    )
    head = f"<thead>\n<tr>{above}</tr>\n<tr>{names}</tr>\n</thead>"
    body = "\n".join(rows)
    return f'<div class="scroll"><table class="{kind}">\n{head}\n<tbody>\n{body}\n</tbody>\n</table></div>'


def _cell(cell: Field) -> str:
    text = OPEN[cell.place] + escape(cell.text) + CLOSE[cell.place] + f" {cell.mark}" * bool(cell.mark)
    return text + f'<br><span class="remark">{escape(cell.remark)}</span>' * bool(cell.remark)
