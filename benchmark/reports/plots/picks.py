"""Recall against the share of the push that falls on false negatives (docs/audit.md), a point per series."""

import statistics
from collections.abc import Iterable

from matplotlib.figure import Figure

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.reports.plots.canvas import Drawn, forms, heading
from negbench.benchmark.reports.plots.scatter import MANY, SHARE, name_points, places, scatter
from negbench.benchmark.reports.plots.selection import Series, Table, Wanted, lacking, named
from negbench.benchmark.reports.plots.selection import tables as subjects
from negbench.benchmark.reports.tables.sheet import BASE, setting, title
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
    if len(shown) > MANY:
        figure = Figure(figsize=(9, 6.2 * len(found)), layout="constrained")
        all_axes = figure.subplots(len(found), squeeze=False)[:, 0]
    else:
        figure = Figure(figsize=(6.2 if len(found) == 1 else 10, 4.8), layout="constrained")
        all_axes = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (name, spots) in zip(all_axes, found.items(), strict=True):
        scatter(axes, list(spots.values()), forms(spots))
        axes.set(xlabel=SHARE, ylabel=name)
        uniform = base(spots)
        if uniform is not None:
            axes.axvline(uniform, color="#606060", ls=":", lw=1, zorder=0)
            axes.annotate(
                " uniform draw",
                (uniform, 0),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                size=8,
                c="#606060",
                ha="left",
            )
    missing = lacking(table, shown, "no audit")
    hollow = " · hollow: with a memory" if any(one.row.memory for one in shown) else ""
    names, seeds = named(shown)
    crosses = " · crosses: deviation over seeds" if any(len(one.cells) > 1 for one in shown) else ""
    notes = f"{seeds}{crosses}{hollow}"
    heading(figure, title(table.group), setting(table.group), notes, missing=missing)
    name_of = dict(zip(shown, names, strict=True))
    for axes, spots in zip(all_axes, found.values(), strict=True):
        name_points(axes, list(spots.values()), [name_of[one] for one in spots], forms(spots))
    return Drawn(figure, missing)
