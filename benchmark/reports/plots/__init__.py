"""Pictures, a file each, drawn from run records alone: ``bench plot NAME`` and the DVC plots.

A picture's file has ``subjects(question)``, what there is to draw, and ``draw(subject, question) -> Drawn``; this one
knows their names and writes them.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from negbench.benchmark.errors import BenchError, NoDataError
from negbench.pipelines.errors import unknown

if TYPE_CHECKING:
    from negbench.benchmark.reports.plots.selection import Wanted

PICTURES = {
    "curves": "validation rSum per epoch, a line per method, the seeds as a band",
    "similarities": "positives, negatives and false negatives of one run, epoch by epoch; what FNE makes of them",
    "picks": "recall against the share of the push that falls on false negatives, a point per method",
    "reach": "recall against how many candidates an anchor pushes, and how hard they are, a point per method",
    "cost": "recall against the time of a training step, a point per method",
    "ambiguity": "true recall against that share over several datasets, a panel per method, and a table",
}
"""What each picture shows; its file in this folder has its name."""
FORMATS = ("png", "svg", "pdf")
OF_THE_LEADERBOARD = ("curves", "picks", "similarities")
"""Drawn into the folder of the leaderboard, where the records have what they need."""


def check(name: str, question: "Wanted") -> None:
    """``BenchError`` for a picture that does not exist, or one that cannot be asked that."""
    if name not in PICTURES:
        raise BenchError(unknown("picture", name, PICTURES))
    if name != "similarities" and (question.run or question.epochs):
        raise BenchError(f"--run and --epoch are for the picture of one run, similarities, not for {name}")
    if question.run and (question.datasets or question.methods or question.memory is not None):
        raise BenchError("--run says which run it is: leave --dataset, --method and --memory out")
    if name == "ambiguity" and len(set(question.datasets)) < 2:
        raise BenchError("ambiguity needs several datasets, in the order of their line: --dataset A --dataset B")


def draw(
    name: str, question: "Wanted", folder: Path, formats: Sequence[str] = FORMATS[:2]
) -> tuple[list[Path], list[str]]:
    """Draw a picture of each table that can have it: ``<name>-<table>.png`` and the like in ``folder``, one per format.

    A picture that has a table of figures has it beside it, as ``.md``. Returns the files, and what is not drawn and
    why. ``NoDataError`` where no table has a picture.
    """
    check(name, question)
    from negbench.benchmark.reports.plots.canvas import save, styled
    from negbench.benchmark.reports.plots.selection import safe
    from negbench.pipelines.atomic import write_text

    module = import_module(f"negbench.benchmark.reports.plots.{name}")
    files: list[Path] = []
    reasons: list[str] = []
    for subject in module.subjects(question):
        stem = f"{name}-{safe(subject.name)}"
        try:
            with styled(question.page):
                drawn = module.draw(subject, question)
                files += save(drawn.figure, folder / stem, formats, question.page.dpi)
        except NoDataError as error:
            reasons.append(str(error))
            continue
        reasons += [f"{subject.name}: {line}" for line in drawn.missing]
        if drawn.table:
            files.append(folder / f"{stem}.md")
            write_text(files[-1], drawn.table)
    if not files:
        raise NoDataError("; ".join(reasons))
    return files, reasons


def draw_board(root: Path, datasets: tuple[str, ...], folder: Path) -> None:
    """The pictures of the leaderboard; those are left out that a table's records have nothing for."""
    from negbench.benchmark.reports.plots.selection import Wanted

    for name in OF_THE_LEADERBOARD:
        try:
            draw(name, Wanted(root, datasets), folder)
        except NoDataError:
            if name == "curves" and _any_trained_here(root, datasets):  # every such record has a history
                raise


def _any_trained_here(root: Path, datasets: tuple[str, ...]) -> bool:
    from negbench.benchmark.reports.plots.selection import Wanted, tables

    return any(not table.group.external for table in tables(Wanted(root, datasets)))
