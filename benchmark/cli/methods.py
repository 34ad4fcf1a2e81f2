"""``bench methods``: what there is to compare."""

from typing import Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.reports.screen import log
from negbench.methods.registry import broken, get, names, summaries
from negbench.pipelines.text import clean, json_text


def methods(
    name: Annotated[
        str | None, typer.Argument(autocompletion=complete.method, help="Show one method with its settings.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="How to cite it, or, without a name, all of them.")] = False,
) -> None:
    """List the methods, or show one: what it does, its settings, defaults and search space, how to cite it."""
    if bibtex:
        _cite(name, as_json)
    elif name is None:
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


def _cite(name: str | None, as_json: bool) -> None:
    """BibTeX on stdout; of all methods with a line on stderr for those that have no entry."""
    from negbench.benchmark.errors import BenchError
    from negbench.benchmark.results import citations

    if as_json:
        raise BenchError("--bibtex and --json: give one of them")
    if name is not None:
        typer.echo(clean(citations.entry(name)))
        return
    entries, without = citations.bibliography(names())
    typer.echo(clean(entries))
    log().print(f"without an entry, as no docstring of theirs names a source in full: {', '.join(without)}")


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
