"""One method with its settings."""

import sys
from dataclasses import fields
from typing import Any

from rich.table import Table

from negbench.benchmark.reports.numbers import MISSING
from negbench.benchmark.reports.screen import out
from negbench.methods.base import Method, Settings


def show(method: type[Method]) -> None:
    """The text of its file, its rule, and a table of its settings."""
    out().print(sys.modules[method.__module__].__doc__ or "")
    out().print(method.__doc__ or "", style="bold")
    if method.needs:
        out().print(f"needs, in your own trainer: extras {', '.join(method.needs)} (docs/methods.md)")
    table = Table("setting", "default", "meaning", "search")
    for row in settings_of(method.Settings):
        table.add_row(row["name"], str(row["default"]), row["meaning"], row["search"] or MISSING)
    out().print(table)


def settings_of(settings: type[Settings]) -> list[dict[str, Any]]:
    """Name, default, meaning and search space of each setting, of a method or of a tower."""
    return [
        {
            "name": entry.name,
            "default": entry.default,
            "meaning": entry.metadata["doc"],
            "search": None if entry.metadata["search"] is None else str(entry.metadata["search"]),
        }
        for entry in fields(settings)
    ]
