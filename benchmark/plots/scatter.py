"""A point per series, at the means over its seeds, with their deviations as a cross: of ``picks`` and ``cost``."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from benchmark.plots.canvas import Form, grid
from benchmark.plots.labels import beside
from benchmark.plots.selection import Cell, Series

Value = Callable[[Cell], float | None]
"""A figure of a record; None where it has none."""


@dataclass(frozen=True)
class Place:
    """Means over seeds, and their sample deviations: 0 for one seed."""

    x: float
    y: float
    x_std: float
    y_std: float


def place(series: Series, x: Value, y: Value) -> Place | None:
    """Where a series stands; None where a seed has no such figure, as a mean of the others would mislead."""
    xs, ys = ([value(cell) for cell in series.cells] for value in (x, y))
    known_x, known_y = ([one for one in some if one is not None] for some in (xs, ys))
    if len(known_x) < len(xs) or len(known_y) < len(ys):
        return None
    return Place(statistics.fmean(known_x), statistics.fmean(known_y), deviation(known_x), deviation(known_y))


def deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def metric(name: str) -> Value:
    """A test metric."""
    return lambda cell: cell.record.metrics.get(name)


def pushed(cell: Cell) -> float | None:
    """Share of the push on judged pairs that falls on matches, in percent, mean of both directions."""
    audit = cell.record.audit
    if "pushed_i2t" not in audit or "pushed_t2i" not in audit:
        return None
    return 50 * (audit["pushed_i2t"] + audit["pushed_t2i"])


def scatter(axes: Axes, places: Sequence[Place], looks: Sequence[Form]) -> None:
    """Points and crosses; the names come last, once the axes are set."""
    for one, form in zip(places, looks, strict=True):
        axes.errorbar(one.x, one.y, one.y_std, one.x_std, fmt="none", ecolor=form.colour, elinewidth=0.8, alpha=0.5)
        axes.plot(one.x, one.y, ls="", marker=form.marker, mec=form.colour, mfc=form.face, ms=6.5, mew=1.3)
    axes.margins(0.12)
    grid(axes)


def name_points(axes: Axes, places: Sequence[Place], names: Sequence[str], looks: Sequence[Form]) -> None:
    beside(axes, [(one.x, one.y) for one in places], names, [form.colour for form in looks])
