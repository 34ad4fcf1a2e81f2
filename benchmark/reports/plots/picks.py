"""Recall against the share of the push that falls on false negatives (docs/audit.md), a point per series."""

import statistics
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.reports.plots.canvas import Drawn, heading
from negbench.benchmark.reports.plots.lettering import folded, points
from negbench.benchmark.reports.plots.looks import forms_of
from negbench.benchmark.reports.plots.scatter import MANY, SHARE, name_all, places, scatter
from negbench.benchmark.reports.plots.selection import Series, Table, Wanted, lacking, named
from negbench.benchmark.reports.plots.selection import tables as subjects
from negbench.benchmark.reports.tables.sheet import BASE, setting, title
from negbench.benchmark.results.values import PUSHED, TRUE

__all__ = ["base", "draw", "subjects"]

NARROW = 3.0
"""Inches: a panel less wide stands alone."""
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
    missing = lacking(table, shown, "no audit")
    hollow = " · hollow: with a memory" if any(one.row.memory for one in shown) else ""
    names, seeds = named(shown)
    crosses = " · crosses: deviation over seeds" if any(len(one.cells) > 1 for one in shown) else ""
    notes = f"{seeds}{crosses}{hollow}"
    heading(figure, question.page, title(table.group), setting(table.group), notes, missing=missing)
    name_all(figure, dict(zip(panels, found.values(), strict=True)), dict(zip(shown, names, strict=True)))
    return Drawn(figure, missing)


def laid_out(panels: int, many: bool, width: float | None) -> tuple[Figure, list[Axes], float]:
    """A figure of some panels and the width of each: above each other where there are many points or little room."""
    usual = 9.0 if many else 6.2 if panels == 1 else 10.0
    beside = 1 if many or (width is not None and width < panels * NARROW) else panels
    each = (width or usual) / beside
    rows = panels // beside
    high = min(5.6 if many else 4.3, 0.8 * each)
    figure = Figure(figsize=(width or usual, rows * high), layout="constrained")
    return figure, list(figure.subplots(rows, beside, squeeze=False).flat), each


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
