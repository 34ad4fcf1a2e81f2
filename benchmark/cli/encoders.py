"""``bench encoders``: what can encode pictures and captions."""

from dataclasses import asdict
from typing import Annotated

import typer

from negbench.pipelines.text import json_text


def encoders(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """List the encoders, and models of each family: size, licence of the weights, what must be installed."""
    from negbench.benchmark.reports.terminal.encoders import show
    from negbench.pipelines.encoders import entries

    found = entries()
    if as_json:
        typer.echo(json_text([asdict(entry) for entry in found]))
    else:
        show(found)
