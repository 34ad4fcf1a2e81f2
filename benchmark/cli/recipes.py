"""``bench recipes``: named recipes."""

from typing import Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.pipelines.text import json_text


def recipes(
    name: Annotated[str | None, typer.Argument(autocompletion=complete.recipe, help="Show one with its keys.")] = None,
    with_keys: Annotated[
        bool, typer.Option("--keys", help="List every key with its default, its range and what it means.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the named recipes, or show what one changes; bench run --recipe NAME trains by it."""
    from negbench.benchmark.recipe import presets
    from negbench.benchmark.reports.terminal.recipes import show, show_all

    if with_keys:
        keys_of(name, as_json)
    elif name is None:
        found = [{"name": each, "about": presets.about(each)} for each in presets.names()]
        if as_json:
            typer.echo(json_text(found))
        else:
            show_all(found)
    elif as_json:
        typer.echo(json_text({"name": name, "about": presets.about(name), "keys": presets.load(name)}))
    else:
        show(presets.about(name), presets.load(name))


def keys_of(name: str | None, as_json: bool) -> None:
    """Every key, with the value that a recipe begins with."""
    from negbench.benchmark.recipe.keys import every
    from negbench.benchmark.reports.terminal.recipes import show_keys

    found = every(name)
    if as_json:
        typer.echo(json_text([key._asdict() for key in found]))
    else:
        show_keys(found)
