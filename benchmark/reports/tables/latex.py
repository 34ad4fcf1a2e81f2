r"""The leaderboard in LaTeX: ``table*`` floats for a page of two columns; needs ``\usepackage{booktabs}``."""

from collections.abc import Iterator

from negbench.benchmark.reports.tables.sheet import (
    Column,
    Field,
    Sheet,
    by_dataset,
    legend,
    literature,
    notes,
    setting,
    stacked,
    title,
)
from negbench.benchmark.results.rows import Group
from negbench.pipelines.text import REPLACED, one_line

ROWS = {"method": 36, "published": 28}
"""Of a float, by its first column; more go on in another one. Those of the literature break into more lines."""
WIDTHS = {"method": "2.6cm", "published": "2.6cm", "features": "3.1cm", "source": "1.9cm"}
"""Columns whose text is broken into lines, so that a long name cannot make a table too wide."""
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
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "·": r"$\cdot$",
    "–": "--",
    "|": r"\textbar{}",
    REPLACED: "?",
}
"""Of text from outside: LaTeX's own signs, and what its usual fonts lack. Control characters and line ends are gone
before."""


def latex(groups: list[Group]) -> str:
    """Per table a float with the recalls, one with the rest, and one with the literature where it was asked for."""
    lines = []
    for line, tables in by_dataset(groups):
        lines += [f"% {one_line(line)}"] if line else []
        for group in tables:
            below = " ".join([legend([group]), *notes(group)])
            sheets = [*stacked(group), *([literature(group.published)] if group.published else [])]
            for sheet in sheets:
                what = (
                    "Published"
                    if sheet.keys[0] == "published"
                    else "Recall"
                    if "rsum" in sheet.keys
                    else "Beside recall"
                )
                caption = (
                    f"{what}: {title(group)}; {setting(group)}." if what != "Published" else f"{what}: {title(group)}."
                )
                lines += _floats(sheet, caption, below if what == "Recall" else "")
    return "\n".join(lines)


def _floats(sheet: Sheet, caption: str, below: str) -> Iterator[str]:
    rows = ROWS[sheet.keys[0]]
    for start in range(0, len(sheet.body), rows):
        yield from (
            r"\begin{table*}",
            r"\centering\scriptsize\setlength{\tabcolsep}{2.5pt}",
            rf"\caption{{{_tex(caption)}{' Continued.' if start else ''}}}\smallskip",
            r"\begin{tabular}{@{}" + "".join(map(_side, sheet.keys, sheet.columns)) + "@{}}",
            r"\toprule",
            *_header(sheet),
            r"\midrule",
            *(
                " & ".join(map(_cell, row, sheet.keys)) + r" \tabularnewline"
                for row in sheet.body[start : start + rows]
            ),
            r"\bottomrule",
            r"\end{tabular}",
            *([rf"\par\smallskip\parbox{{\textwidth}}{{\scriptsize {_tex(below)}}}"] if below and not start else []),
            r"\end{table*}",
            "",
        )


def _side(key: str, column: Column) -> str:
    return f"p{{{WIDTHS[key]}}}" if key in WIDTHS else "l" if column.left else "r"


def _header(sheet: Sheet) -> Iterator[str]:
    """Two lines, and a rule below what spans several columns."""
    above, rules, first = [], "", 1
    for text, span in sheet.above:
        if text and span > 1:
            above.append(rf"\multicolumn{{{span}}}{{c}}{{{_tex(text)}}}")
            rules += rf"\cmidrule(lr){{{first}-{first + span - 1}}}"
        else:
            above += [_tex(text)] * span
        first += span
    yield " & ".join(above) + r" \tabularnewline"
    if rules:
        yield rules
    yield " & ".join(_tex(column.name) for column in sheet.columns) + r" \tabularnewline"


def _cell(cell: Field, key: str) -> str:
    text = _tex(cell.text)
    if key in WIDTHS:  # may be broken where its parts end
        text = r"\raggedright " + text.replace("[", r"\allowbreak[").replace(",", r",\allowbreak ")
    text = (text, rf"\textbf{{{text}}}", rf"\underline{{{text}}}")[cell.place]
    return text + f" {_tex(cell.mark)}" * bool(cell.mark) + f" ({_tex(cell.remark)})" * bool(cell.remark)


def _tex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in one_line(text))
