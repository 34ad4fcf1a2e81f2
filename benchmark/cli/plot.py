"""``bench plot``: pictures of what is recorded."""

from pathlib import Path
from typing import Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.errors import BenchError
from negbench.benchmark.reports.plots import FORMATS, PICTURES, draw
from negbench.benchmark.reports.screen import log, wide
from negbench.benchmark.results.place import RUNS
from negbench.pipelines.errors import unknown
from negbench.pipelines.text import clean

PLOTS = Path("plots")


def plot(
    name: Annotated[str, typer.Argument(help=f"Picture: {', '.join(PICTURES)}.")],
    dataset: Annotated[
        list[str] | None,
        typer.Option(autocompletion=complete.dataset, help="Only this dataset; several by repeating it."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(autocompletion=complete.method, help="Only this method or method id; several likewise."),
    ] = None,
    memory: Annotated[int | None, typer.Option(min=0, help="Only this memory; 0: in the batch.")] = None,
    run: Annotated[
        Path | None, typer.Option(autocompletion=complete.run, help="similarities: folder of the run.")
    ] = None,
    epoch: Annotated[
        list[int] | None, typer.Option(min=1, help="similarities: this epoch, from 1; several likewise.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of the run records.")] = RUNS,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = PLOTS,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help=f"{', '.join(FORMATS)}: several by commas or repeating it. Else PNG and SVG."),
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="Inches: 3.3 for a column of a paper, 7 for a page; the height follows.")
    ] = None,
    headed: Annotated[bool, typer.Option("--title/--no-title", help="A heading says what the numbers are of.")] = True,
) -> None:
    """Draw a picture of what is recorded: one per table of the leaderboard (docs/plots.md)."""
    from negbench.benchmark.reports import destinations
    from negbench.benchmark.reports.plots.page import Page
    from negbench.benchmark.reports.plots.selection import Wanted
    from negbench.benchmark.reports.terminal import left_out
    from negbench.benchmark.results.integrity import survey
    from negbench.benchmark.results.leaderboard import refused

    kinds = formats_of(formats)
    page = Page(width, headed)
    destinations.check(f"--out {out}", out / name)
    question = Wanted(runs, tuple(dataset or ()), tuple(method or ()), memory, run, tuple(epoch or ()), page)
    if run is None:
        left_out.show(refused(survey(runs)[1]), wide(log()))
    try:
        files, missing = draw(name, question, out, kinds)
    except FileExistsError as error:
        raise BenchError(f"{error.filename}: not a folder") from None
    for reason in missing:
        log().print(f"not drawn: {reason}", style="yellow")
    for file in files:
        typer.echo(clean(str(file)))


def formats_of(words: list[str] | None) -> list[str]:
    """The formats asked for, each once; ``BenchError`` for one that there is not."""
    if words is None:
        return [*FORMATS[:2]]
    names = [name.strip().lower() for word in words for name in word.split(",")]
    for name in names:
        if name not in FORMATS:
            raise BenchError(unknown("format", name, FORMATS))
    return [*dict.fromkeys(names)]
