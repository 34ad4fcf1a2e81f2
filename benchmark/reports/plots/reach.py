"""Recall against how many candidates an anchor pushes, and against how hard they are (docs/audit.md)."""

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.reports.plots.canvas import Drawn
from negbench.benchmark.reports.plots.lettering import folded, points
from negbench.benchmark.reports.plots.looks import forms_of
from negbench.benchmark.reports.plots.scatter import MANY, finished, laid_out, logarithmic, places, scatter
from negbench.benchmark.reports.plots.selection import Table, Wanted
from negbench.benchmark.reports.plots.selection import tables as subjects

__all__ = ["draw", "subjects"]

PANELS = {
    "effective": "candidates that an anchor pushes (effective number)",
    "hardness": "hardness of what is pushed: its similarity less the partner's",
}


def draw(table: Table, question: Wanted) -> Drawn:
    """rSum over both; the number is logarithmic."""
    found = {value: places(table.series, value, "rsum") for value in PANELS}
    if not any(found.values()):
        raise NoDataError(
            f"{table.name}: no record says how many candidates are pushed: run the cells again with --force"
        )
    figure, panels, width = laid_out(len(found), max(map(len, found.values())) > MANY, question.page.width)
    for axes, (value, spots) in zip(panels, found.items(), strict=True):
        scatter(axes, list(spots.values()), forms_of(spots))
        axes.set(xlabel=folded(PANELS[value], width - 0.6, points(9)), ylabel="rSum")
    logarithmic(panels[0])
    return finished(figure, table, question.page, dict(zip(panels, found.values(), strict=True)), "no audit")
