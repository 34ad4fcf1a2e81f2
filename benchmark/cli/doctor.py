"""``bench doctor``: what there is here, and what to do about it."""

from dataclasses import asdict
from typing import Annotated

import typer

from negbench.benchmark.reports.screen import out, wide
from negbench.pipelines.text import json_text


def doctor(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Look at versions, devices, disk, datasets and records, and say what to do. Nothing is changed."""
    from negbench.benchmark.reports.terminal import health
    from negbench.benchmark.sweeps.health import examine

    found = examine()
    if as_json:
        typer.echo(json_text(asdict(found)))
    else:
        health.show(found, wide(out()))
