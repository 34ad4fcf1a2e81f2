"""Recall against the time of a training step, a point per series."""

from matplotlib.figure import Figure

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.reports.plots.canvas import Drawn
from negbench.benchmark.reports.plots.lettering import folded, points
from negbench.benchmark.reports.plots.looks import forms_of
from negbench.benchmark.reports.plots.scatter import MANY, finished, logarithmic, places, scatter
from negbench.benchmark.reports.plots.selection import Table, Wanted, shown
from negbench.benchmark.reports.plots.selection import tables as subjects

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
    logarithmic(axes)
    devices = sorted({shown(cell.record.device) for one in spots for cell in one.cells} - {""})
    measured = f"training step, ms ({', '.join(devices)})" if devices else "training step, ms"
    axes.set(xlabel=folded(measured, width - 0.6, points(9)), ylabel="rSum")
    return finished(figure, table, question.page, {axes: spots}, "no cost")
