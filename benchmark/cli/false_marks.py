"""``bench false-marks``: how often trainings of one method would be told apart."""

import json
from pathlib import Path
from typing import Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.reports.screen import out, wide
from negbench.benchmark.results.place import RUNS


def false_marks(
    dataset: Annotated[str | None, typer.Option(autocompletion=complete.dataset, help="Only this dataset.")] = None,
    side: Annotated[
        list[int] | None, typer.Option(min=3, help="Seeds in a group; may be given again. [3 and 5]")
    ] = None,
    splits: Annotated[int, typer.Option(min=1, help="Random splits of each row.")] = 1000,
    runs: Annotated[Path, typer.Option(help="Folder of the run records.")] = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Split the seeds of each method in two groups and count how often they would be marked: the method is the same."""
    from negbench.benchmark.reports.terminal.false_marks import show
    from negbench.benchmark.results import false_marks

    found = false_marks.rates(runs, dataset, side or (3, 5), splits)
    if as_json:
        typer.echo(json.dumps([rate.as_dict() for rate in found], indent=2, ensure_ascii=False))
    else:
        show(found, splits, wide(out()))
