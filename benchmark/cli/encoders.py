"""``bench encoders``: what can encode pictures and captions."""

from dataclasses import asdict
from typing import Annotated

import typer

from negbench.benchmark.reports.screen import log, out, wide
from negbench.pipelines.text import json_text


def encoders(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """List the encoders, and models of each family: size, licence of the weights, what must be installed."""
    from rich.table import Table

    from negbench.pipelines.encoders import entries

    found = entries()
    if as_json:
        typer.echo(json_text([asdict(entry) for entry in found]))
        return
    table = Table("encoder", "side", "size", "licence", "installed")
    table.columns[0].overflow = "fold"
    table.columns[2].justify = "right"
    for entry in found:
        ready = "yes" if entry.installed else f"no: negbench[{entry.needs}]"
        table.add_row(entry.name, entry.sides, f"{entry.dim:,}", entry.licence or "–", ready)
    wide(out()).print(table)
    log().print(
        "FAMILY:MODEL takes any model of a hub or a folder, as ./NAME; :cls, :mean, :pooler or :projected after it",
        style="dim",
        markup=False,
    )
