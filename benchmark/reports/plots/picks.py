"""Recall against the share of the push that falls on false negatives (docs/audit.md), a point per series."""

import statistics
from collections.abc import Iterable

from matplotlib.axes import Axes

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.reports.plots.canvas import Drawn
from negbench.benchmark.reports.plots.lettering import folded, points
from negbench.benchmark.reports.plots.looks import forms_of
from negbench.benchmark.reports.plots.scatter import MANY, SHARE, finished, laid_out, places, scatter
from negbench.benchmark.reports.plots.selection import Series, Table, Wanted
from negbench.benchmark.reports.plots.selection import tables as subjects
from negbench.benchmark.reports.tables.sheet import BASE
from negbench.benchmark.results.values import PUSHED, TRUE

__all__ = ["base", "draw", "subjects"]

PANELS = {"rSum, labelled pairs": "rsum", "rSum, true pairs": TRUE}


def base(series: Iterable[Series]) -> float | None:
    """What a uniform draw would push, in percent: the mean over all rows that say so."""
    known = [one.row.stats[BASE].mean for one in series if BASE in one.row.stats]
    return statistics.fmean(known) if known else None


def draw(table: Table, question: Wanted) -> Drawn:
    """rSum; where the truth is known, beside it true rSum."""
    found = {name: places(table.series, PUSHED, value) for name, value in PANELS.items()}
    found = {name: spots for name, spots in found.items() if spots}
    if not found:
        raise NoDataError(
            f"{table.name}: no record has an audit of what is pushed: it needs judged pairs or known truth,"
            " and records that are no older than the audit (run the cells again with --force)"
        )
    shown = [one for one in table.series if any(one in spots for spots in found.values())]
    looks = dict(zip(shown, forms_of(shown), strict=True))
    figure, panels, width = laid_out(len(found), len(shown) > MANY, question.page.width)
    for axes, (name, spots) in zip(panels, found.items(), strict=True):
        scatter(axes, list(spots.values()), [looks[one] for one in spots])
        axes.set(xlabel=folded(SHARE, width - 0.6, points(9)), ylabel=name)
        mark_uniform(axes, base(spots))
    return finished(figure, table, question.page, dict(zip(panels, found.values(), strict=True)), "no audit")


def mark_uniform(axes: Axes, share: float | None) -> None:
    """A line where a uniform draw would be, its name on the side that has room."""
    if share is None:
        return
    axes.axvline(share, color="#606060", ls=":", lw=1, zorder=0)
    left, right = axes.get_xlim()
    axes.annotate(
        " uniform draw ",
        (share, 0),
        (0, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        size=points(8),
        c="#606060",
        ha="left" if share < (left + right) / 2 else "right",
    )
