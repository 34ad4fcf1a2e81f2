"""What a text found."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from negbench.benchmark.exchange.loaded import Hit
from negbench.benchmark.reports.numbers import MISSING
from negbench.benchmark.reports.terminal.table import plain_table
from negbench.pipelines.text import one_line


def show(hits: Sequence[Hit], screen: Console) -> None:
    """A line per image, the nearest first."""
    table = plain_table("#", "sim", "image", "file", left=("image", "file"), folds=("image", "file"))
    for hit in hits:
        file = MISSING if hit.file is None else hit.file if hit.row is None else f"{hit.file}, row {hit.row}"
        table.add_row(str(hit.place), f"{hit.similarity:.3f}", Text(one_line(hit.id)), Text(one_line(file)))
    screen.print(table)
