"""Learning curves: validation rSum per epoch, the mean over a series' seeds, a band from the lowest to the highest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.reports.plots.canvas import Drawn, grid, heading
from negbench.benchmark.reports.plots.labels import at_the_end, legend_below, room_for
from negbench.benchmark.reports.plots.lettering import points
from negbench.benchmark.reports.plots.looks import Form, forms_of
from negbench.benchmark.reports.plots.selection import Series, Table, Wanted, lacking, named, readable
from negbench.benchmark.reports.plots.selection import tables as subjects
from negbench.benchmark.reports.tables.sheet import setting, title

__all__ = ["Curve", "curve", "draw", "subjects"]


@dataclass(frozen=True)
class Curve:
    """A value per epoch that all seeds have."""

    mean: list[float]
    low: list[float]
    high: list[float]


def curve(seeds: Sequence[Sequence[float]]) -> Curve:
    """Mean and extremes over seeds; as long as the shortest."""
    columns = list(zip(*seeds, strict=False))
    return Curve([sum(column) / len(column) for column in columns], [*map(min, columns)], [*map(max, columns)])


def of_series(series: Series) -> Curve:
    return curve([[row["val_rsum"] for row in cell.history] for cell in series.cells])


def draw(table: Table, question: Wanted) -> Drawn:
    """A line per series, its name at the end."""
    if table.group.external:
        raise NoDataError(f"{table.name}: all were trained elsewhere, so there is no history")
    if not table.whole:
        raise NoDataError(f"{table.name}: every method has a failed seed, so there is no curve")
    read = [readable(one) for one in table.whole]
    series, broken = [one for one, _ in read if one.cells], [reason for _, reasons in read for reason in reasons]
    if not series:
        raise NoDataError("; ".join(broken))
    drawn, looks = [of_series(one) for one in series], forms_of(series)
    names, seeds = named(series)
    width = question.page.width or 7.5
    figure = Figure(figsize=(width, min(3.7, 0.7 * width)), layout="constrained")
    axes = figure.subplots()
    for one, form in zip(drawn, looks, strict=True):
        epochs = range(1, len(one.mean) + 1)
        axes.fill_between(epochs, one.low, one.high, color=form.colour, alpha=0.15, lw=0)
        axes.plot(epochs, one.mean, **styles(form))
    axes.set(xlabel="epoch", ylabel="validation rSum")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    grid(axes)
    shade(axes, int(table.group.recipe["warmup_epochs"]))
    missing = lacking(table, table.whole, "")
    band = " · band: lowest to highest seed" if any(len(one.cells) > 1 for one in series) else ""
    notes = f"{seeds}{band}"
    if broken:
        missing.append(f"{len(broken)} runs without a history that can be read")
    named_at_the_end = room_for(figure, names)
    heading(figure, question.page, title(table.group), setting(table.group), notes, missing=missing)
    if named_at_the_end:
        ends = [(float(len(one.mean)), one.mean[-1]) for one in drawn]
        at_the_end(axes, ends, names, [form.colour for form in looks])
    else:
        legend_below(figure, [Line2D([], [], **styles(form)) for form in looks], names)
    return Drawn(figure, missing + broken)


def styles(form: Form) -> dict[str, Any]:
    """How a line is drawn."""
    look = {"c": form.colour, "ls": form.line, "marker": form.marker, "mfc": form.face}
    return look | {"ms": 4.5, "lw": 1.4}


def shade(axes: Axes, warmup: int) -> None:
    """The epochs of the warm-up."""
    if not warmup:
        return
    left, right = axes.get_xlim()
    axes.axvspan(left, warmup + 0.5, color="#F3F3F3", lw=0, zorder=0)
    axes.set_xlim(left, right)
    place: dict[str, Any] = {"va": "top", "size": points(8), "c": "#606060", "transform": axes.transAxes}
    axes.text(0.01, 0.99, "warm-up", **place)
