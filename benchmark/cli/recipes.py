"""``bench recipes``: named recipes."""

from typing import Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.pipelines.text import json_text


def recipes(
    name: Annotated[str | None, typer.Argument(autocompletion=complete.recipe, help="Show one with its keys.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the named recipes, or show what one changes; bench run --recipe NAME trains by it."""
    from negbench.benchmark.recipe import presets
    from negbench.benchmark.reports.terminal.recipes import show, show_all

    if name is None:
        found = [{"name": each, "about": presets.about(each)} for each in presets.names()]
        if as_json:
            typer.echo(json_text(found))
        else:
            show_all(found)
        return
    keys = presets.load(name)
    if as_json:
        typer.echo(json_text({"name": name, "about": presets.about(name), "keys": keys}))
    else:
        show(presets.about(name), keys)
