"""Tables for programs: CSV and JSON, plain numbers without rounding."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from negbench.benchmark.results.leaderboard import flat
from negbench.benchmark.results.rows import Group
from negbench.pipelines.text import json_text, one_line

FORMULA = "=+-@＝＋－＠"
"""What a spreadsheet takes for the start of a formula."""


def as_csv(groups: list[Group]) -> str:
    """One line per row of every table; nothing stands where a value is missing."""
    rows = flat(groups)
    return csv_text(list(rows[0]), (row | {"seeds": " ".join(map(str, row["seeds"] or ()))} for row in rows))


def as_json(groups: list[Group]) -> str:
    """A list with one object per row of every table; null stands where a value is missing."""
    return json_text(flat(groups)) + "\n"


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV that a spreadsheet may open: a text in it is one line, and none is a formula."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A text that begins like a formula has an apostrophe before it; numbers stay as they are."""
    if not isinstance(value, str):
        return value
    line = one_line(value)
    return f"'{line}" if line.startswith(tuple(FORMULA)) else line
