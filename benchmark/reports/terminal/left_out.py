"""What takes no part, and why."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from negbench.benchmark.reports.terminal.table import plain_table
from negbench.benchmark.results.leaderboard import LeftOut
from negbench.pipelines.text import one_line


def show(left_out: Sequence[LeftOut], screen: Console) -> None:
    """A table of records with their reasons; nothing where all took part."""
    if not left_out:
        return
    words = ("left out", "reason")
    table = plain_table(*words, left=words, folds=words)
    for each in left_out:
        table.add_row(*(Text(one_line(text)) for text in (each.what, each.reason)), style="yellow")
    screen.print(table, "")
