"""How often trainings of one method would be told apart."""

from collections.abc import Sequence

from rich.console import Console

from negbench.benchmark.reports.terminal.table import plain_table
from negbench.benchmark.results.false_marks import Rate


def show(found: Sequence[Rate], splits: int, screen: Console) -> None:
    """A line per row and size of a group, and what the shares are of."""
    words = ("dataset", "row", "recipe")
    table = plain_table(*words, "seeds", "a side", "p images", "p both", "mark", left=words)
    for rate in found:
        sizes = (str(rate.row), rate.recipe_hash[:6], str(rate.seeds), str(rate.side))
        table.add_row(rate.dataset, *sizes, *(f"{share:.1%}" for share in (rate.images, rate.both, rate.mark)))
    screen.print(table, "")
    screen.print(
        f"Shares of {splits:,} random splits with p < 0.05. The splits of one row overlap. How to read it:"
        " docs/statistics.md",
        style="dim",
    )
