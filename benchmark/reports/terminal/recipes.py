"""Named recipes."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from negbench.benchmark.reports.screen import out


def show_all(found: Sequence[Mapping[str, str]]) -> None:
    """A line per recipe."""
    table = Table("recipe", "what it trains")
    for each in found:
        table.add_row(Text(each["name"]), Text(each["about"]))
    out().print(table)


def show(about: str, keys: Mapping[str, Any]) -> None:
    """One recipe, where it differs from the defaults."""
    out().print(about, markup=False)
    table = Table("key", "value")
    for key, value in keys.items():
        table.add_row(key, Text(str(value)))
    if keys:
        out().print(table)
