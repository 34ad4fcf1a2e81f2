"""A point per series, at the means over its seeds, with their deviations as a cross."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from negbench.benchmark.reports.plots.canvas import Drawn, grid, heading
from negbench.benchmark.reports.plots.labels import Bar, beside, legend_below
from negbench.benchmark.reports.plots.looks import Form, forms_of
from negbench.benchmark.reports.plots.page import Page
from negbench.benchmark.reports.plots.selection import Series, Table, lacking, named
from negbench.benchmark.reports.tables.sheet import setting, title
from negbench.benchmark.results.rows import Row, Stat

SHARE = "push that falls on false negatives, % (test pairs)"
"""``PUSHED`` of the leaderboard, as an axis is labelled."""
MANY = 16
"""More names than these need a larger picture, and panels one above the other."""
SIZE = 6.5
"""Of a marker, in points."""
NARROW = 3.0
"""Inches: a panel less wide stands alone."""


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


def laid_out(panels: int, many: bool, width: float | None) -> tuple[Figure, list[Axes], float]:
    """A figure of some panels and the width of each: above each other where there are many points or little room."""
    usual = 9.0 if many else 6.2 if panels == 1 else 10.0
    beside = 1 if many or (width is not None and width < panels * NARROW) else panels
    each = (width or usual) / beside
    rows = panels // beside
    high = min(5.6 if many else 4.3, 0.8 * each)
    figure = Figure(figsize=(width or usual, rows * high), layout="constrained")
    return figure, list(figure.subplots(rows, beside, squeeze=False).flat), each


def finished(
    figure: Figure, table: Table, page: Page, panels: Mapping[Axes, Mapping[Series, Spot]], lacks: str
) -> Drawn:
    """The picture with its heading and the names of its points; ``lacks``: why a row of the table is not in it."""
    shown = [one for one in table.series if any(one in spots for spots in panels.values())]
    missing = lacking(table, shown, lacks)
    names, seeds = named(shown)
    crosses = " · crosses: deviation over seeds" if any(len(one.cells) > 1 for one in shown) else ""
    hollow = " · hollow: with a memory" if any(one.row.memory for one in shown) else ""
    heading(figure, page, title(table.group), setting(table.group), f"{seeds}{crosses}{hollow}", missing=missing)
    name_all(figure, panels, dict(zip(shown, names, strict=True)))
    return Drawn(figure, missing)


def logarithmic(axes: Axes) -> None:
    """The axis along: values differ by factors."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())


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
