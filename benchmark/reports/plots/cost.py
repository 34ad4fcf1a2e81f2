"""Recall against the time of a training step, a point per series."""

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.reports.plots.canvas import Drawn, heading
from negbench.benchmark.reports.plots.lettering import folded, points
from negbench.benchmark.reports.plots.looks import forms_of
from negbench.benchmark.reports.plots.scatter import MANY, name_all, places, scatter
from negbench.benchmark.reports.plots.selection import Table, Wanted, lacking, named, shown
from negbench.benchmark.reports.plots.selection import tables as subjects
from negbench.benchmark.reports.tables.sheet import setting, title

__all__ = ["draw", "subjects"]


def draw(table: Table, question: Wanted) -> Drawn:
    """Logarithmic time, as methods differ by factors."""
    spots = places(table.series, "step_ms", "rsum")
    if not spots:
        why = "every method has a failed seed"
        if table.group.external:
            why = "all were trained elsewhere"
        elif any(row.busy for row in table.group.rows):
            why = "other work slowed the machine while they trained"
        raise NoDataError(f"{table.name}: no record has a cost, as {why}")
    wide, high = (9, 5.6) if len(spots) > MANY else (7.2, 4.3)
    width = question.page.width or wide
    figure = Figure(figsize=(width, min(high, 0.8 * width)), layout="constrained")
    axes = figure.subplots()
    scatter(axes, list(spots.values()), forms_of(spots))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    devices = sorted({shown(cell.record.device) for one in spots for cell in one.cells} - {""})
    measured = f"training step, ms ({', '.join(devices)})" if devices else "training step, ms"
    axes.set(xlabel=folded(measured, width - 0.6, points(9)), ylabel="rSum")
    hollow = " · hollow: with a memory" if any(one.row.memory for one in spots) else ""
    missing = lacking(table, spots, "no cost")
    names, seeds = named(spots)
    crosses = " · crosses: deviation over seeds" if any(len(one.cells) > 1 for one in spots) else ""
    notes = f"{seeds}{crosses}{hollow}"
    heading(figure, question.page, title(table.group), setting(table.group), notes, missing=missing)
    name_all(figure, {axes: spots}, dict(zip(spots, names, strict=True)))
    return Drawn(figure, missing)
