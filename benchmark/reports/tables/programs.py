"""Tables for programs: CSV and JSON, plain numbers without rounding."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from negbench.benchmark.results.rows import Group, Row
from negbench.benchmark.results.values import VALUES
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


def flat(groups: list[Group]) -> list[dict[str, Any]]:
    """One dictionary per row of every table, plain numbers, None where there is none: for CSV and JSON.

    Rows of the literature follow those of their table and alone have a ``source``; of them only the recalls are known.
    """
    rows = []
    for group in groups:
        rows += [group.facts | _flat_row(row) | _flat_mark(row) | {"source": None} for row in group.rows]
        nothing = dict.fromkeys(rows[-1])
        same = {key: group.facts[key] for key in ("dataset", "protocol", "images", "captions", "folds")}
        rows += [nothing | same | each.flat() for each in group.published]
    return rows


def _flat_row(row: Row) -> dict[str, Any]:
    names = {
        "method": row.method,
        "memory": None if row.external else row.memory,
        "momentum": row.momentum,
        "external": row.external,
        "n": len(row.seeds),
        "failed": row.failed,
        "collapsed": row.collapsed,
        "warmup": row.warmup,
        "seeds": list(row.seeds),
    }
    return names | {
        f"{key}_{part}": getattr(row.stats[key], part) if key in row.stats else None
        for key in VALUES
        for part in ("mean", "std")
    }


def _flat_mark(row: Row) -> dict[str, Any]:
    keys = ("difference", "p", "p_holm", "p_both", "p_both_holm", "p_t", "significant")
    return {f"mark_{key}": getattr(row.mark, key) if row.mark else None for key in keys}


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
