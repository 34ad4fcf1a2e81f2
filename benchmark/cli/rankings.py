"""``bench rankings``: how far the order of the methods carries."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.reports.screen import log, out, wide
from negbench.benchmark.results.place import RUNS


class Layout(StrEnum):
    """How it is written."""

    rich = "rich"
    md = "md"
    csv = "csv"
    json = "json"


def rankings(
    dataset: Annotated[str | None, typer.Option(autocompletion=complete.dataset, help="Only this dataset.")] = None,
    where: Annotated[str, typer.Option(help="Only the records with: epochs=12 memory=0,2048 seed=0-4.")] = "",
    runs: Annotated[Path, typer.Option(help="Folder of the run records.")] = RUNS,
    layout: Annotated[Layout, typer.Option("--format", help="How it is written.")] = Layout.rich,
) -> None:
    """Rank correlation of the methods: between seeds, values, memories, defaults and tuned, datasets and encoders."""
    from negbench.benchmark.errors import NoDataError
    from negbench.benchmark.reports.terminal import left_out
    from negbench.benchmark.reports.terminal import rankings as screen
    from negbench.benchmark.results.leaderboard import NothingLeftError, untested
    from negbench.benchmark.results.rankings import LEAST, agreements

    try:
        board = untested(runs, dataset, where)
    except NothingLeftError as error:
        left_out.show(error.left_out, wide(log()))
        raise
    left_out.show(board.left_out, wide(log()))
    found = agreements(board)
    if not found:
        raise NoDataError(f"no two orders of {LEAST} methods in {runs}; bench sweep --methods all records some")
    if layout is Layout.rich:
        screen.show(board.groups, found, wide(out()))
    else:
        typer.echo(screen.text_of(board.groups, found, layout.value), nl=False)
