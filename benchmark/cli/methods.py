"""``bench methods``: what there is to compare."""

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from negbench.benchmark.reports.screen import out
from negbench.methods.registry import broken, get, summaries
from negbench.pipelines.text import json_text

if TYPE_CHECKING:
    from negbench.methods.base import Method


def methods(
    name: Annotated[str | None, typer.Argument(help="Show one method with its settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the methods, or show one: what it does, its settings, defaults and search space."""
    if name is None:
        lines = [{"name": each, "summary": line} for each, line in summaries().items()]
        lines += [{"name": each, "summary": "", "broken": why} for each, why in broken().items()]
        if as_json:
            typer.echo(json_text(lines))
        else:
            show_list(lines)
        return
    method = get(name)
    if as_json:
        shown = {"name": name, "rule": method.__doc__, "needs": method.needs, "settings": settings_of(method)}
        typer.echo(json_text(shown))
    else:
        show_method(method)


def settings_of(method: "type[Method]") -> list[dict[str, Any]]:
    """Name, default, meaning and search space of each setting."""
    return [
        {
            "name": entry.name,
            "default": entry.default,
            "meaning": entry.metadata["doc"],
            "search": None if entry.metadata["search"] is None else str(entry.metadata["search"]),
        }
        for entry in fields(method.Settings)
    ]


def show_list(lines: list[dict[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("method", "what it does")
    for line in lines:
        what = Text(f"broken: {line['broken']}", style="red") if "broken" in line else Text(line["summary"])
        table.add_row(Text(line["name"]), what)
    out().print(table)


def show_method(method: "type[Method]") -> None:
    """The text of its file, its rule, and a table of its settings."""
    import sys

    from rich.table import Table

    out().print(sys.modules[method.__module__].__doc__ or "", markup=False)
    out().print(method.__doc__ or "", style="bold", markup=False)
    if method.needs:
        out().print(f"needs, in your own trainer: extras {', '.join(method.needs)} (docs/methods.md)", markup=False)
    table = Table("setting", "default", "meaning", "search")
    for row in settings_of(method):
        table.add_row(row["name"], str(row["default"]), row["meaning"], row["search"] or "–")
    out().print(table)
