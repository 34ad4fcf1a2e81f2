"""``bench leaderboard``: what the recorded runs say."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negbench.benchmark.errors import BenchError
from negbench.benchmark.reports.screen import log, out, wide
from negbench.benchmark.results.records import RUNS

if TYPE_CHECKING:
    from negbench.benchmark.results.leaderboard import LeftOut
    from negbench.benchmark.results.rows import Group


class Format(StrEnum):
    """How a leaderboard is written."""

    rich = "rich"
    md = "md"
    latex = "latex"
    csv = "csv"
    html = "html"
    json = "json"


def leaderboard(
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Row to test against: METHOD or METHOD,MEMORY; else hardest in the batch.")
    ] = None,
    with_published: Annotated[bool, typer.Option("--with-published", help="Add what papers report.")] = False,
    runs: Annotated[Path, typer.Option(help="Folder of the run records.")] = RUNS,
    layout: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.rich,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of the screen.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Write all formats, metrics and curves into this folder.")] = None,
) -> None:
    """Compare what was recorded: recall over seeds, marks against a baseline, false negatives, cost."""
    from negbench.benchmark.reports.tables.terminal import show
    from negbench.benchmark.results.leaderboard import NothingLeftError, load
    from negbench.pipelines.atomic import write_text

    if folder is not None:
        from negbench.benchmark.reports import destinations, leaderboard_folder

        destinations.check_folder(f"--folder {folder}", folder, leaderboard_folder.KIND)
    elif output is not None:
        from negbench.benchmark.reports import destinations

        destinations.check_file(f"--output {output}", output)
    try:
        found = load(runs, dataset, baseline, with_published)
    except NothingLeftError as error:
        refuse(error.left_out)
        raise
    refuse(found.left_out)
    groups = found.groups
    names = dict.fromkeys(group.dataset for group in groups) if with_published else {}
    if bare := [name for name in names if not any(group.published for group in groups if group.dataset == name)]:
        log().print(f"nothing is published that we know of for: {', '.join(bare)}", style="yellow", markup=False)
    if folder is not None:
        leaderboard_folder.write(folder, groups, runs)
    elif output is not None:
        try:
            write_text(output, _text(groups, layout))
        except OSError as error:
            raise BenchError(f"{output}: {error.strerror}") from None
    elif layout is Format.rich:
        show(groups, wide(out()))
    else:
        typer.echo(_text(groups, layout), nl=False)


def refuse(left_out: "list[LeftOut]") -> None:
    """One table of what is not in any other, on stderr: what is written for programs and papers stays as it is."""
    if left_out:
        from negbench.benchmark.cli.compare import show_left_out

        show_left_out(left_out, wide(log()))


def _text(groups: "list[Group]", layout: Format) -> str:
    from negbench.benchmark.reports.tables import html, latex, markdown, programs, terminal

    write = {
        Format.rich: terminal.plain,
        Format.md: markdown.markdown,
        Format.latex: latex.latex,
        Format.csv: programs.as_csv,
        Format.html: html.html,
        Format.json: programs.as_json,
    }
    return write[layout](groups)
