"""A point per series, at the means over its seeds, with their deviations as a cross: of ``picks`` and ``cost``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from negbench.benchmark.reports.plots.canvas import grid
from negbench.benchmark.reports.plots.labels import Bar, beside, legend_below
from negbench.benchmark.reports.plots.looks import Form, forms_of
from negbench.benchmark.reports.plots.selection import Series
from negbench.benchmark.results.rows import Row, Stat

SHARE = "push that falls on false negatives, % (test pairs)"
"""``PUSHED`` of the leaderboard, as an axis is labelled."""
MANY = 16
"""More names than these need a larger picture, and panels one above the other."""
SIZE = 6.5
"""Of a marker, in points."""


@dataclass(frozen=True)
class Spot:
    """Means over seeds and their sample deviations, as the leaderboard has them."""

    x: Stat
    y: Stat


def place(row: Row, x: str, y: str) -> Spot | None:
    """Where a row stands; None where a seed lacks a figure or failed, as a mean of the others would mislead."""
    return Spot(row.stats[x], row.stats[y]) if x in row.stats and y in row.stats else None


def places(series: Sequence[Series], x: str, y: str) -> dict[Series, Spot]:
    """Those that stand somewhere."""
    return {one: spot for one in series if (spot := place(one.row, x, y))}


def mark(axes: Axes, spot: Spot, form: Form, size: float = SIZE) -> None:
    """A point and its cross."""
    axes.errorbar(
        spot.x.mean, spot.y.mean, spot.y.std, spot.x.std, fmt="none", ecolor=form.colour, elinewidth=0.8, alpha=0.5
    )
    axes.plot(spot.x.mean, spot.y.mean, **marker(form, size))


def marker(form: Form, size: float = SIZE) -> dict[str, Any]:
    """How a point is drawn."""
    return {"ls": "", "marker": form.marker, "mec": form.colour, "mfc": form.face, "ms": size, "mew": size / 5}


def scatter(axes: Axes, spots: Sequence[Spot], looks: Sequence[Form]) -> None:
    """Points and crosses; the names come last, once the axes are set."""
    for spot, form in zip(spots, looks, strict=True):
        mark(axes, spot, form)
    axes.margins(0.12)
    grid(axes)


def name_all(figure: Figure, panels: Mapping[Axes, Mapping[Series, Spot]], names: Mapping[Series, str]) -> None:
    """Names beside all points of a picture; a legend where a name would not be clear of the others."""
    looks = dict(zip(names, forms_of(names), strict=True))
    written: list[Annotation] = []
    for axes, spots in panels.items():
        some = name_points(axes, [*spots.values()], [names[one] for one in spots], [looks[one] for one in spots])
        written += some
        if not some:
            for text in written:
                text.remove()
            figure.set_layout_engine("constrained")
            legend_below(figure, [Line2D([], [], **marker(look)) for look in looks.values()], [*names.values()])
            return


def name_points(axes: Axes, spots: Sequence[Spot], names: Sequence[str], looks: Sequence[Form]) -> list[Annotation]:
    """Names beside their points, clear of all crosses; none where that cannot be."""
    points = [(spot.x.mean, spot.y.mean) for spot in spots]
    bars = [bar for spot in spots for bar in cross(axes, spot)]
    return beside(axes, points, names, [form.colour for form in looks], bars)


def cross(axes: Axes, spot: Spot) -> list[Bar]:
    """The ends of a place's cross, as far as the axes show it: on logarithmic ones nothing lies below zero."""
    left, right = axes.get_xlim()
    x, y, x_std, y_std = spot.x.mean, spot.y.mean, spot.x.std or 0, spot.y.std or 0
    return [((max(x - x_std, left), y), (min(x + x_std, right), y)), ((x, y - y_std), (x, y + y_std))]
