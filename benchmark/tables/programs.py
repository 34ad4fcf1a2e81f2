"""The leaderboard for programs: CSV and JSON, plain numbers without rounding."""

import csv
import io
import json

from benchmark.leaderboard import Group, flat


def as_csv(groups: list[Group]) -> str:
    """One line per row of every table; nothing stands where a value is missing."""
    rows = flat(groups)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"seeds": " ".join(map(str, row["seeds"] or ()))} for row in rows)
    return text.getvalue()


def as_json(groups: list[Group]) -> str:
    """A list with one object per row of every table; null stands where a value is missing."""
    return json.dumps(flat(groups), indent=2, ensure_ascii=False) + "\n"
