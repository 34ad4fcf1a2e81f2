"""``bench search``: the test images nearest to a text, by the model of a record."""

from pathlib import Path
from typing import Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.reports.screen import out, wide
from negbench.pipelines.text import json_text


def search(
    run: Annotated[
        Path, typer.Argument(autocompletion=complete.run, help="Folder of a run's record.", show_default=False)
    ],
    text: Annotated[str, typer.Argument(help="What to look for.", show_default=False)],
    top: Annotated[int, typer.Option(min=1, help="Images to list.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the test images that are nearest to a text."""
    from negbench.benchmark.exchange import loaded
    from negbench.benchmark.reports.terminal import search as terminal

    found = loaded.search(run, text, top)
    if as_json:
        typer.echo(json_text([hit._asdict() for hit in found]))
    else:
        terminal.show(found, wide(out()))
