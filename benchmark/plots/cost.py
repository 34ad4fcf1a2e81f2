"""Recall against the time of a training step, a point per series."""

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from benchmark.errors import NoDataError
from benchmark.plots.canvas import forms, heading
from benchmark.plots.scatter import metric, name_points, place, scatter
from benchmark.plots.selection import Cell, Question, Table
from benchmark.plots.selection import tables as subjects
from benchmark.tables.sheet import setting, title

__all__ = ["draw", "step", "subjects"]


def step(cell: Cell) -> float | None:
    """Milliseconds of a training step."""
    return cell.record.cost.step_ms if cell.record.cost else None


def draw(table: Table, question: Question) -> Figure:
    """Logarithmic time, as methods differ by factors."""
    looks = dict(zip(table.series, forms(table.series), strict=True))
    places = {one: spot for one in table.whole if (spot := place(one, step, metric("rsum")))}
    if not places:
        raise NoDataError(f"{table.name}: no record has a cost, as every method has a failed seed")
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    scatter(axes, list(places.values()), [looks[one] for one in places])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    devices = sorted({cell.record.device for one in places for cell in one.cells} - {""})
    axes.set(xlabel=f"training step, ms ({', '.join(devices)})" if devices else "training step, ms", ylabel="rSum")
    hollow = " · hollow: with a memory" if any(one.key[1] for one in places) else ""
    note = f"crosses: deviation over seeds{hollow}"
    heading(figure, title(table.group), setting(table.group), note, table.left_out)
    name_points(axes, list(places.values()), [one.label for one in places], [looks[one] for one in places])
    return figure
