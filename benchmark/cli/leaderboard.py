"""``bench leaderboard``: what the recorded runs say."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.errors import BenchError
from benchmark.records import RUNS
from benchmark.screen import out

if TYPE_CHECKING:
    from benchmark.leaderboard import Group


class Format(StrEnum):
    """How a leaderboard is written."""

    rich = "rich"
    md = "md"
    latex = "latex"
    csv = "csv"
    json = "json"


def leaderboard(
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of the run records.")] = RUNS,
    layout: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.rich,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of the screen.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Write all formats, metrics and curves into this folder.")] = None,
) -> None:
    """Compare what was recorded: recall as mean and deviation over seeds, false negatives picked, cost."""
    from benchmark.leaderboard import load
    from benchmark.tables import show
    from pipelines.atomic import write_text

    if folder is not None:
        from benchmark import board

        board.write(folder, runs)
        return
    groups = load(runs, dataset)
    if output is not None:
        try:
            write_text(output, _text(groups, layout))
        except OSError as error:
            raise BenchError(f"{output}: {error.strerror}") from None
    elif layout is Format.rich:
        show(groups, out())
    else:
        typer.echo(_text(groups, layout), nl=False)


def _text(groups: "list[Group]", layout: Format) -> str:
    from benchmark import tables

    write = {
        Format.rich: tables.plain,
        Format.md: tables.markdown,
        Format.latex: tables.latex,
        Format.csv: tables.as_csv,
        Format.json: tables.as_json,
    }
    return write[layout](groups)
