"""Towers."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from negbench.benchmark.reports.numbers import MISSING
from negbench.benchmark.reports.screen import out


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
    out().print(card["summary"], style="bold", markup=False)
    out().print("reads: " + ", ".join(f"{reads} on the {side} side" for side, reads in card["reads"].items()))
    sides = list(card["settings"].values())
    names = [[row["name"].partition(".")[2] for row in rows] for rows in sides]
    if len(sides) == 2 and names[0] == names[1]:
        sides, both = sides[:1], True
    else:
        both = False
    table = Table("setting", "default", "meaning", "search")
    for rows in sides:
        for row in rows:
            name = f"image., text.{row['name'].partition('.')[2]}" if both else row["name"]
            table.add_row(name, str(row["default"]), row["meaning"], row["search"] or MISSING)
    if table.rows:
        out().print(table)
