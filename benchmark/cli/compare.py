"""``bench compare``: two rows of the leaderboard, query by query and seed by seed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negbench.benchmark.errors import BenchError
from negbench.benchmark.reports.screen import log, out, wide
from negbench.benchmark.results.records import RUNS
from negbench.pipelines.text import json_text, one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from negbench.benchmark.results.compare import Changed, Comparison
    from negbench.benchmark.results.leaderboard import LeftOut


def compare(
    a: Annotated[str, typer.Argument(help="Method id, as the leaderboard has it.")],
    b: Annotated[str, typer.Argument(help="The other one.")],
    dataset: Annotated[str | None, typer.Option(help="Dataset; may be left out where there is one alone.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of both, or A,B: 2048 or 2048,0 or 2048@0.9,0.")] = None,
    digest: Annotated[
        str, typer.Option("--hash", help="Which table: start of a recipe, manifest or features hash.")
    ] = "",
    queries: Annotated[int, typer.Option(min=0, help="Most changed queries to show, on either side.")] = 5,
    runs: Annotated[Path, typer.Option(help="Folder of the run records.")] = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare two methods by the same queries and seeds: difference, interval, p, who wins where."""
    from negbench.benchmark.results import compare as comparing
    from negbench.benchmark.results.leaderboard import NothingLeftError
    from negbench.benchmark.results.rows import Choice

    sizes = memory.split(",") if memory is not None else [None]
    if len(sizes) > 2:
        raise BenchError(f"--memory {memory}: one size, or two as A,B")
    choices = Choice(a, sizes[0]), Choice(b, sizes[-1])
    try:
        found = comparing.compare(*choices, dataset, digest, runs, queries)
    except NothingLeftError as error:
        show_left_out(error.left_out, wide(log()))
        raise
    if as_json:
        typer.echo(json_text(found.as_dict()))
    else:
        show(found, wide(out()))


def show(found: "Comparison", screen: "Console") -> None:
    """Three sentences, the metrics, the seeds, the queries that changed most, what took no part."""
    from rich.text import Text

    from negbench.benchmark.results.compare import explain
    from negbench.benchmark.results.significance import T_SEEDS

    for sentence in explain(found):
        screen.print(Text(one_line(sentence)))
    screen.print("", metrics_table(found), "")
    screen.print(Text(one_line(seeds_line(found)), style="dim"), "", sep="\n")
    for title, queries in ((f"A, {found.a},", found.won), (f"B, {found.b},", found.lost)):
        if queries:
            screen.print(Text(f"Queries that {title} ranks most above the other; ranks are means over seeds:"))
            screen.print(queries_table(queries), "")
    if found.collapsed:
        screen.print(Text(f"Collapsed, and counted in: {'; '.join(found.collapsed)}.\n", style="yellow"))
    show_left_out(found.left_out, screen)
    legend = (
        "Recalls: mean ± sample deviation over the seeds. Interval: bootstrap over images, percentile, 95 %."
        " p images: other test images, these trainings (sign flips by image); p both: other trainings and other images"
        f" (mixed model, from {T_SEEDS} seeds); two-sided, each Holm-corrected, family: the {len(found.lines)} lines of"
        " this table. Bold: both below 0.05. won/lost/tied: queries. How to read it: docs/statistics.md"
    )
    screen.print(Text(legend, style="dim"))


def metrics_table(found: "Comparison") -> "Table":
    headers = ("metric", "A", "B", "A − B", "95 % interval", "p images", "p both", "won/lost/tied")
    table = plain_table(*headers, padding=0)
    for line in found.lines:
        name = "rSum" if line.metric == "rsum" else f"{line.metric[:3]} R@{line.metric[5:]}"
        table.add_row(
            name,
            *(f"{each.mean:.1f}" + (f" ±{each.std:.1f}" if each.std is not None else "") for each in (line.a, line.b)),
            f"{line.difference:+.1f}",
            f"{line.low:.1f} to {line.high:.1f}",
            *map(small, (line.p_holm, line.p_both_holm)),
            f"{line.won}/{line.lost}/{line.tied}",
            style="bold" if line.significant else "",
        )
    return table


def small(p: float | None) -> str:
    if p is None:
        return "–"
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def seeds_line(found: "Comparison") -> str:
    """rSum seed by seed, and its tests."""
    seeds = found.over_seeds
    each = ", ".join(f"{seed}: {gap:+.1f}" for seed, gap in seeds.differences.items())
    t = "–, needs 3 seeds" if seeds.p_t is None else small(seeds.p_t)
    wilcoxon = "–, needs 6 seeds" if seeds.p_wilcoxon is None else small(seeds.p_wilcoxon)
    effect = "–" if seeds.standardised is None else f"{seeds.standardised:+.1f}"
    return (
        f"A = {found.a}, B = {found.b}. rSum, A − B, by seed: {each}."
        f" Paired t: p {t}. Wilcoxon: p {wilcoxon}. In deviations over seeds: {effect}."
    )


def queries_table(queries: "list[Changed]") -> "Table":
    from rich.text import Text

    table = plain_table("query", "", "rank in A", "rank in B")
    table.columns[1].justify = "left"
    table.columns[1].overflow = "fold"
    for query in queries:
        table.add_row(query.direction, Text(one_line(query.id)), f"{query.a:.1f}", f"{query.b:.1f}")
    return table


def show_left_out(left_out: "list[LeftOut]", screen: "Console") -> None:
    """Records that take no part, each with its reason."""
    from rich.text import Text

    if not left_out:
        return
    table = plain_table("left out", "reason")
    for column in table.columns:
        column.justify, column.overflow, column.no_wrap = "left", "fold", False
    for each in left_out:
        table.add_row(*(Text(one_line(text)) for text in (each.what, each.reason)), style="yellow")
    screen.print(table, "")


def plain_table(*headers: str, padding: int = 1) -> "Table":
    """Numbers to the right of a first column of words."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, padding, 0, 0), show_edge=False, header_style="dim")
    for place, header in enumerate(headers):
        table.add_column(header, justify="right" if place else "left", no_wrap=True)
    return table
