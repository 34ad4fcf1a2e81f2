"""``bench compare``: two rows of the leaderboard, query by query and seed by seed."""

from pathlib import Path
from typing import Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.errors import BenchError
from negbench.benchmark.reports.screen import log, out, wide
from negbench.benchmark.results.place import RUNS
from negbench.pipelines.text import json_text


def compare(
    a: Annotated[str, typer.Argument(autocompletion=complete.method, help="Method id, as the leaderboard has it.")],
    b: Annotated[str, typer.Argument(autocompletion=complete.method, help="The other one.")],
    dataset: Annotated[
        str | None,
        typer.Option(autocompletion=complete.dataset, help="Dataset; may be left out where there is one alone."),
    ] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of both, or A,B: 2048 or 2048,0 or 2048@0.9,0.")] = None,
    digest: Annotated[
        str, typer.Option("--hash", help="Which table: start of a recipe, manifest or features hash.")
    ] = "",
    queries: Annotated[int, typer.Option(min=0, help="Most changed queries to show, on either side.")] = 5,
    runs: Annotated[Path, typer.Option(help="Folder of the run records.")] = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare two methods by the same queries and seeds: difference, interval, p, who wins where."""
    from negbench.benchmark.reports.comparison_words import explain
    from negbench.benchmark.reports.terminal import comparison, left_out
    from negbench.benchmark.results import compare as comparing
    from negbench.benchmark.results.leaderboard import NothingLeftError
    from negbench.benchmark.results.rows import RowChoice

    sizes = memory.split(",") if memory is not None else [None]
    if len(sizes) > 2:
        raise BenchError(f"--memory {memory}: one size, or two as A,B")
    choices = RowChoice(a, sizes[0]), RowChoice(b, sizes[-1])
    try:
        found = comparing.compare(*choices, dataset, digest, runs, queries)
    except NothingLeftError as error:
        left_out.show(error.left_out, wide(log()))
        raise
    if as_json:
        typer.echo(json_text(found.as_dict() | {"sentences": explain(found)}))
    else:
        comparison.show(found, wide(out()))
