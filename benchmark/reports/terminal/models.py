"""Towers."""

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from rich.table import Table
from rich.text import Text

from negbench.benchmark.errors import BenchError
from negbench.benchmark.models import registry
from negbench.benchmark.reports.numbers import MISSING
from negbench.benchmark.reports.screen import out
from negbench.benchmark.reports.terminal.method import settings_of


def entries(summaries: Mapping[str, str]) -> list[dict[str, Any]]:
    """A line per tower; one that cannot be imported says why in place of its sides."""
    return [_entry(name, line) for name, line in summaries.items()]


def card(name: str) -> dict[str, Any]:
    """One tower: its text, source, what it reads, its settings by side."""
    tower, _ = registry.split(name)
    kind = registry.class_of(tower)
    about = (sys.modules[kind.__module__].__doc__ or "").strip()
    return {
        **_entry(tower, about.partition("\n")[0]),
        "about": about,
        "class": (kind.__doc__ or "").strip(),
        "settings": {
            side: [row | {"name": f"{side}.{row['name']}"} for row in settings_of(kind.settings_of(side))]
            for side in kind.reads
        },
    }


def _entry(name: str, line: str) -> dict[str, Any]:
    try:
        kind = registry.class_of(name)
    except BenchError as error:
        return {"name": name, "summary": line, "broken": str(error)}
    return {
        "name": f"{name}:NAME" if kind.family else name,
        "summary": line,
        "reads": kind.reads,
        "example": f"{name}:{kind.family}" if kind.family else name,
        "installed": all(find_spec(package) for package in kind.packages),
        "needs": kind.extra,
    }


def show_all(found: Sequence[Mapping[str, Any]]) -> None:
    """A line per tower."""
    table = Table("tower", "image", "text", "what it is")
    for each in found:
        if "broken" in each:
            table.add_row(Text(each["name"]), "", "", Text(f"broken: {each['broken']}", style="red"))
            continue
        missing = "" if each["installed"] else f" (needs: pip install 'negbench[{each['needs']}]')"
        sides = [each["reads"].get(side, MISSING) for side in ("image", "text")]
        table.add_row(Text(each["name"]), *sides, Text(each["summary"] + missing))
    out().print(table)


def show(card: Mapping[str, Any]) -> None:
    """One tower with its settings."""
    out().print(card["about"], markup=False)
    out().print(card["class"], style="bold", markup=False)
    out().print("reads: " + ", ".join(f"{reads} on the {side} side" for side, reads in card["reads"].items()))
    sides = [[{**row, "name": row["name"].partition(".")[2]} for row in rows] for rows in card["settings"].values()]
    heads = [f"{side}." for side in card["settings"]]
    if len(sides) == 2 and sides[0] == sides[1]:
        sides, heads = sides[:1], ["image., text."]
    table = Table("setting", "default", "meaning", "search")
    for head, rows in zip(heads, sides, strict=True):
        for row in rows:
            table.add_row(head + row["name"], str(row["default"]), row["meaning"], row["search"] or MISSING)
    if table.rows:
        out().print(table)
