"""``bench false-marks``: how often trainings of one method would be told apart."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negbench.benchmark.reports.screen import out, wide
from negbench.benchmark.results.records import RUNS

if TYPE_CHECKING:
    from rich.table import Table

    from negbench.benchmark.results.false_marks import Rate


def false_marks(
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    side: Annotated[
        list[int] | None, typer.Option(min=3, help="Seeds in a group; may be given again. [3 and 5]")
    ] = None,
    splits: Annotated[int, typer.Option(min=1, help="Random splits of each row.")] = 1000,
    runs: Annotated[Path, typer.Option(help="Folder of the run records.")] = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Split the seeds of each method in two groups and count how often they would be marked: the method is the same."""
    from negbench.benchmark.results import false_marks

    found = false_marks.rates(runs, dataset, side or (3, 5), splits)
    if as_json:
        typer.echo(json.dumps([rate.as_dict() for rate in found], indent=2, ensure_ascii=False))
        return
    screen = wide(out())
    screen.print(table(found), "")
    screen.print(
        f"Shares of {splits:,} random splits with p < 0.05. The splits of one row overlap. How to read it:"
        " docs/statistics.md",
        style="dim",
    )


def table(found: "list[Rate]") -> "Table":
    from negbench.benchmark.cli.compare import plain_table

    shown = plain_table("dataset", "row", "recipe", "seeds", "a side", "p images", "p both", "mark")
    for column in shown.columns[:3]:
        column.justify = "left"
    for rate in found:
        sizes = (str(rate.row), rate.recipe_hash[:6], str(rate.seeds), str(rate.side))
        shown.add_row(rate.dataset, *sizes, *(f"{share:.1%}" for share in (rate.images, rate.both, rate.mark)))
    return shown
