"""``bench methods``: what there is to compare."""

from typing import Annotated

import typer

from negbench.methods.registry import broken, get, summaries
from negbench.pipelines.text import json_text


def methods(
    name: Annotated[str | None, typer.Argument(help="Show one method with its settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the methods, or show one: what it does, its settings, defaults and search space."""
    if name is None:
        _all(as_json)
    else:
        _one(name, as_json)


def _all(as_json: bool) -> None:
    from negbench.benchmark.reports.terminal.method_list import show

    lines = [{"name": each, "summary": line} for each, line in summaries().items()]
    lines += [{"name": each, "summary": "", "broken": why} for each, why in broken().items()]
    if as_json:
        typer.echo(json_text(lines))
    else:
        show(lines)


def _one(name: str, as_json: bool) -> None:
    method = get(name)
    from negbench.benchmark.reports.terminal.method import settings_of, show

    if as_json:
        content = {
            "name": name,
            "rule": method.__doc__,
            "needs": method.needs,
            "settings": settings_of(method.Settings),
        }
        typer.echo(json_text(content))
    else:
        show(method)
