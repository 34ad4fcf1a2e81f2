"""``bench runs``: records, to be listed, chosen and removed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negbench.benchmark.reports.screen import log, out
from negbench.benchmark.results.place import RUNS
from negbench.pipelines.text import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from negbench.benchmark.results.recorded import Recorded


def runs(
    where: Annotated[
        str, typer.Option(help='Only some: "method=fne memory=2048 seed=0-2 status=failed", keys of the recipe too.')
    ] = "",
    root: Annotated[Path, typer.Option("--runs", help="Folder of the records.")] = RUNS,
    remove: Annotated[bool, typer.Option("--remove", help="Remove them, with their checkpoints.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List records, or remove some; ensembles with a removed member go too."""
    from negbench.benchmark.errors import BenchError
    from negbench.benchmark.reports.terminal import left_out
    from negbench.benchmark.reports.terminal.runs import show, told
    from negbench.benchmark.results.integrity import survey
    from negbench.benchmark.results.leaderboard import refused
    from negbench.benchmark.results.selection import chosen

    cells, broken = survey(root)
    found = chosen(cells, where)
    if remove and not where:
        raise BenchError("--remove: say which with --where; every record of a folder is removed with the folder")
    if as_json:
        typer.echo(json_text([told(cell) for cell in found]))
    elif found:
        show(found, out())
    if not as_json:
        left_out.show(refused(broken), log())
        log().print(f"{len(found)} of {len(cells)} records in {root}", markup=False)
    if remove and found:
        _remove(found, cells, root, yes)


def _remove(found: "Sequence[Recorded]", cells: "Sequence[Recorded]", root: Path, yes: bool) -> None:
    """Remove records and what depends on them, once that is agreed to."""
    from negbench.benchmark.errors import BenchError
    from negbench.benchmark.sweeps import removal

    also = removal.dependents(found, cells)
    for cell in (*found, *also):
        removal.check(cell, root)  # a person's own file in one of them stops it all
    for cell in also:
        log().print(f"an ensemble of them goes too: {cell.folder}", markup=False)
    if not yes:
        if not sys.stdin.isatty():
            raise BenchError("--remove: nobody is there to be asked; --yes removes without asking")
        typer.confirm(f"Remove {len(found) + len(also)} records?", abort=True, err=True)
    for cell in (*also, *found):
        removal.remove(cell)
    log().print(f"removed {len(found) + len(also)} records; what the pipeline made of them dvc repro makes anew")
