"""The formats of a leaderboard."""

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from negbench.benchmark.results.rows import Group


class Format(StrEnum):
    """How a leaderboard is written."""

    rich = "rich"
    md = "md"
    latex = "latex"
    csv = "csv"
    html = "html"
    json = "json"


def text_of(groups: "list[Group]", layout: Format) -> str:
    """The whole leaderboard in a format; ``rich`` as a terminal without colours shows it."""
    from negbench.benchmark.reports.tables import html, latex, markdown, programs, terminal

    write = {
        Format.rich: terminal.plain,
        Format.md: markdown.markdown,
        Format.latex: latex.latex,
        Format.csv: programs.as_csv,
        Format.html: html.html,
        Format.json: programs.as_json,
    }
    return write[layout](groups)
