"""``bench leaderboard``: what the recorded runs say."""

from pathlib import Path
from typing import Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.errors import BenchError
from negbench.benchmark.reports.screen import log, out, wide
from negbench.benchmark.reports.tables.formats import Format, text_of
from negbench.benchmark.results.place import RUNS


def leaderboard(
    dataset: Annotated[str | None, typer.Option(autocompletion=complete.dataset, help="Only this dataset.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Row to test against: METHOD or METHOD,MEMORY; else hardest in the batch.")
    ] = None,
    where: Annotated[str, typer.Option(help="Only the records with: epochs=12 memory=0,2048 seed=0-4.")] = "",
    with_published: Annotated[bool, typer.Option("--with-published", help="Add what papers report.")] = False,
    with_external: Annotated[
        bool, typer.Option("--with-external", help="What was trained elsewhere stands beside what was trained here.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="Folder of the run records.")] = RUNS,
    layout: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.rich,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of the screen.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Write all formats, metrics and curves into this folder.")] = None,
) -> None:
    """Compare what was recorded: recall over seeds, marks against a baseline, false negatives, cost."""
    from negbench.benchmark.reports.tables.terminal import show
    from negbench.benchmark.reports.terminal import left_out
    from negbench.benchmark.results.leaderboard import NothingLeftError, load
    from negbench.pipelines.atomic import write_text

    if folder is not None:
        from negbench.benchmark.reports import destinations, leaderboard_folder

        destinations.check_folder(f"--folder {folder}", folder, leaderboard_folder.KIND)
    elif output is not None:
        from negbench.benchmark.reports import destinations

        destinations.check_file(f"--output {output}", output)
    try:
        found = load(runs, dataset, baseline, with_published, with_external, where)
    except NothingLeftError as error:
        left_out.show(error.left_out, wide(log()))
        raise
    left_out.show(found.left_out, wide(log()))  # what is written for programs and papers stays as it is
    groups = found.groups
    names = dict.fromkeys(group.dataset for group in groups) if with_published else {}
    if bare := [name for name in names if not any(group.published for group in groups if group.dataset == name)]:
        log().print(f"nothing is published that we know of for: {', '.join(bare)}", style="yellow")
    if folder is not None:
        leaderboard_folder.write(folder, groups, runs)
    elif output is not None:
        try:
            write_text(output, text_of(groups, layout))
        except OSError as error:
            raise BenchError(f"{output}: {error.strerror}") from None
    elif layout is Format.rich:
        show(groups, wide(out()))
    else:
        typer.echo(text_of(groups, layout), nl=False)
