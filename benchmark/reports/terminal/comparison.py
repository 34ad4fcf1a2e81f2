"""Two rows of the leaderboard against each other."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from negbench.benchmark.reports.comparison_words import HEADERS, by_seed, explain, legend, words_of
from negbench.benchmark.reports.terminal import left_out
from negbench.benchmark.reports.terminal.table import plain_table
from negbench.benchmark.results.compare import Changed, Comparison
from negbench.pipelines.text import one_line


def show(found: Comparison, screen: Console) -> None:
    """Three sentences, the metrics, the seeds, the queries that changed most, what took no part."""
    for sentence in explain(found):
        screen.print(Text(one_line(sentence)))
    screen.print("", _metrics(found), "")
    screen.print(Text(one_line(by_seed(found)), style="dim"), "", sep="\n")
    for title, queries in ((f"A, {found.a},", found.won), (f"B, {found.b},", found.lost)):
        if queries:
            screen.print(Text(f"Queries that {title} ranks most above the other; ranks are means over seeds:"))
            screen.print(_queries(queries), "")
    if found.collapsed:
        screen.print(Text(f"Collapsed, and counted in: {'; '.join(found.collapsed)}.\n", style="yellow"))
    left_out.show(found.left_out, screen)
    screen.print(Text(legend(found), style="dim"))


def _metrics(found: Comparison) -> Table:
    table = plain_table(*HEADERS, left=HEADERS[:1], padding=0)
    for line in found.lines:
        table.add_row(*words_of(line), style="bold" if line.significant else "")
    return table


def _queries(queries: Sequence[Changed]) -> Table:
    table = plain_table("query", "", "rank in A", "rank in B", left=("query", ""), folds=("",))
    for query in queries:
        table.add_row(query.direction, Text(one_line(query.id)), f"{query.a:.1f}", f"{query.b:.1f}")
    return table
