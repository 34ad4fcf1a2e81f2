"""Recall against the share of the push that falls on false negatives (docs/audit.md), a point per series."""

import statistics

from matplotlib.figure import Figure

from benchmark.errors import NoDataError
from benchmark.leaderboard import TRUE
from benchmark.plots.canvas import forms, heading
from benchmark.plots.scatter import metric, name_points, place, pushed, scatter
from benchmark.plots.selection import Question, Series, Table
from benchmark.plots.selection import tables as subjects
from benchmark.tables.sheet import setting, title

__all__ = ["base", "draw", "subjects"]


def base(series: list[Series]) -> float | None:
    """What a uniform draw would push, in percent: the mean over all records that say so."""
    keys = ("pushed_i2t_base", "pushed_t2i_base")
    known = [cell.record.audit[key] for one in series for cell in one.cells for key in keys if key in cell.record.audit]
    return 100 * statistics.fmean(known) if known else None


def draw(table: Table, question: Question) -> Figure:
    """rSum; where the truth is known, beside it true rSum."""
    looks = dict(zip(table.series, forms(table.series), strict=True))
    panels = {"rSum, labelled pairs": metric("rsum"), "rSum, true pairs": metric(TRUE)}
    found = {
        name: {one: spot for one in table.whole if (spot := place(one, pushed, value))}
        for name, value in panels.items()
    }
    found = {name: places for name, places in found.items() if places}
    if not found:
        raise NoDataError(
            f"{table.name}: no record has an audit of what is pushed: it needs judged pairs or known truth,"
            " and records that are no older than the audit (run the cells again with --force)"
        )
    figure = Figure(figsize=(6.2 if len(found) == 1 else 10, 4.8), layout="constrained")
    all_axes = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (name, places) in zip(all_axes, found.items(), strict=True):
        scatter(axes, list(places.values()), [looks[one] for one in places])
        axes.set(xlabel="push that falls on false negatives, % (test pairs)", ylabel=name)
        uniform = base(list(places))
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
    hollow = "hollow: with a memory" if any(one.key[1] for one in table.whole) else ""
    notes = " · ".join(note for note in ("crosses: deviation over seeds", hollow) if note)
    heading(figure, title(table.group), setting(table.group), notes, table.left_out)
    for axes, places in zip(all_axes, found.values(), strict=True):
        name_points(axes, list(places.values()), [one.label for one in places], [looks[one] for one in places])
    return figure
