"""``bench models``: what can be trained."""

from typing import Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.pipelines.text import json_text


def models(
    name: Annotated[
        str | None, typer.Argument(autocompletion=complete.tower, help="Show one tower with its settings.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the towers, or show one: what it reads, its settings, defaults and search space."""
    from negbench.benchmark.models.registry import summaries

    if name is not None:
        _one(name, as_json)
        return
    from negbench.benchmark.reports.terminal.models import entries, show_all

    found = entries(summaries())
    if as_json:
        typer.echo(json_text(found))
    else:
        show_all(found)


def _one(name: str, as_json: bool) -> None:
    from negbench.benchmark.reports.terminal.models import card, show

    found = card(name)
    if as_json:
        typer.echo(json_text(found))
    else:
        show(found)
