"""Two rows of the leaderboard against each other."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from negbench.benchmark.reports.comparison_words import explain
from negbench.benchmark.reports.numbers import MISSING, p_value
from negbench.benchmark.reports.terminal import left_out
from negbench.benchmark.reports.terminal.table import plain_table
from negbench.benchmark.results.compare import Changed, Comparison
from negbench.benchmark.results.significance import T_SEEDS, WILCOXON_SEEDS
from negbench.pipelines.text import one_line


def show(found: Comparison, screen: Console) -> None:
    """Three sentences, the metrics, the seeds, the queries that changed most, what took no part."""
    for sentence in explain(found):
        screen.print(Text(one_line(sentence)))
    screen.print("", _metrics(found), "")
    screen.print(Text(one_line(_seeds(found)), style="dim"), "", sep="\n")
    for title, queries in ((f"A, {found.a},", found.won), (f"B, {found.b},", found.lost)):
        if queries:
            screen.print(Text(f"Queries that {title} ranks most above the other; ranks are means over seeds:"))
            screen.print(_queries(queries), "")
    if found.collapsed:
        screen.print(Text(f"Collapsed, and counted in: {'; '.join(found.collapsed)}.\n", style="yellow"))
    left_out.show(found.left_out, screen)
    legend = (
        "Recalls: mean ± sample deviation over the seeds. Interval: bootstrap over images, percentile, 95 %."
        " p images: other test images, these trainings (sign flips by image); p both: other trainings and other images"
        f" (mixed model, from {T_SEEDS} seeds); two-sided, each Holm-corrected, family: the {len(found.lines)} lines of"
        " this table. Bold: both below 0.05. won/lost/tied: queries. How to read it: docs/statistics.md"
    )
    screen.print(Text(legend, style="dim"))


def _metrics(found: Comparison) -> Table:
    headers = ("metric", "A", "B", "A − B", "95 % interval", "p images", "p both", "won/lost/tied")
    table = plain_table(*headers, left=headers[:1], padding=0)
    for line in found.lines:
        name = "rSum" if line.metric == "rsum" else f"{line.metric[:3]} R@{line.metric[5:]}"
        table.add_row(
            name,
            *(f"{each.mean:.1f}" + (f" ±{each.std:.1f}" if each.std is not None else "") for each in (line.a, line.b)),
            f"{line.difference:+.1f}",
            f"{line.low:.1f} to {line.high:.1f}",
            *map(p_value, (line.p_holm, line.p_both_holm)),
            f"{line.won}/{line.lost}/{line.tied}",
            style="bold" if line.significant else "",
        )
    return table


def _seeds(found: Comparison) -> str:
    """rSum seed by seed, and its tests."""
    seeds = found.over_seeds
    each = ", ".join(f"{seed}: {gap:+.1f}" for seed, gap in seeds.differences.items())
    t = f"{MISSING}, needs {T_SEEDS} seeds" if seeds.p_t is None else p_value(seeds.p_t)
    wilcoxon = f"{MISSING}, needs {WILCOXON_SEEDS} seeds" if seeds.p_wilcoxon is None else p_value(seeds.p_wilcoxon)
    effect = MISSING if seeds.standardised is None else f"{seeds.standardised:+.1f}"
    return (
        f"A = {found.a}, B = {found.b}. rSum, A − B, by seed: {each}."
        f" Paired t: p {t}. Wilcoxon: p {wilcoxon}. In deviations over seeds: {effect}."
    )


def _queries(queries: Sequence[Changed]) -> Table:
    table = plain_table("query", "", "rank in A", "rank in B", left=("query", ""), folds=("",))
    for query in queries:
        table.add_row(query.direction, Text(one_line(query.id)), f"{query.a:.1f}", f"{query.b:.1f}")
    return table
