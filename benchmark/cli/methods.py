"""``bench methods``: what there is to compare."""

import json
from typing import Annotated

import typer

from benchmark.screen import out


def methods(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """List the methods."""
    from rich.table import Table

    from methods.registry import summaries

    if as_json:
        typer.echo(json.dumps([{"name": name, "summary": line} for name, line in summaries().items()], indent=2))
        return
    table = Table("method", "what it does")
    for name, line in summaries().items():
        table.add_row(name, line)
    out().print(table)
