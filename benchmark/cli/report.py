"""``bench report``: all that is recorded, as a site that opens from a disk."""

from pathlib import Path
from typing import Annotated

import typer

from negbench.benchmark.reports.screen import log, wide
from negbench.benchmark.results.place import RUNS

SITE = Path("site")


def report(
    out: Annotated[Path, typer.Option(help="Folder of the site; replaced as a whole, if it is one.")] = SITE,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Row to test against first: METHOD or METHOD,MEMORY; else hardest in the batch.")
    ] = None,
    with_external: Annotated[
        bool, typer.Option("--with-external", help="What was trained elsewhere stands beside what was trained here.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="Folder of the run records.")] = RUNS,
) -> None:
    """Write a static site of what is recorded: no server, no request, from records alone (docs/site.md)."""
    from negbench.benchmark.reports import destinations
    from negbench.benchmark.reports.site import build
    from negbench.benchmark.reports.site.contents import contents_of
    from negbench.benchmark.reports.terminal import left_out
    from negbench.benchmark.results.leaderboard import NothingLeftError, load

    destinations.check_folder(f"--out {out}", out, build.KIND)
    try:
        board = load(runs, dataset, baseline, with_external=with_external)
    except NothingLeftError as error:
        left_out.show(error.left_out, wide(log()))
        raise
    left_out.show(board.left_out, wide(log()))
    pages = build.write(out, contents_of(board, runs), lambda line: log().print(line, style="dim"))
    typer.echo(f"{out / 'index.html'} ({pages} pages)")
