"""Named recipes."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from negbench.benchmark.reports.screen import out

if TYPE_CHECKING:
    from negbench.benchmark.recipe.keys import RecipeKey


def show_all(found: Sequence[Mapping[str, str]]) -> None:
    """A line per recipe."""
    table = Table("recipe", "what it trains")
    for each in found:
        table.add_row(Text(each["name"]), Text(each["about"]))
    out().print(table)


def show_keys(keys: Sequence["RecipeKey"]) -> None:
    """A line per key."""
    table = Table("key", "default", "may be", "what it means")
    for part, some in groupby(keys, key=lambda key: key.part):
        table.add_section()
        table.add_row(Text(part, style="bold"), "", "", "")
        for key in some:
            table.add_row(key.name, Text(str(key.default)), key.may_be, Text(key.meaning))
    out().print(table)


def show(about: str, keys: Mapping[str, Any]) -> None:
    """One recipe, where it differs from the defaults."""
    out().print(about, markup=False)
    table = Table("key", "value")
    for key, value in keys.items():
        table.add_row(key, Text(str(value)))
    if keys:
        out().print(table)
