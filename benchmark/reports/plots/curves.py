"""Learning curves: validation rSum per epoch, the mean over a series' seeds, a band from the lowest to the highest."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.reports.plots.canvas import Drawn, forms, grid, heading
from negbench.benchmark.reports.plots.labels import at_the_end, room_for
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
    drawn, looks = [of_series(one) for one in series], forms(series)
    figure = Figure(figsize=(7.5, max(4.2, 0.9 + 0.19 * len(series))), layout="constrained")
    axes = figure.subplots()
    for one, form in zip(drawn, looks, strict=True):
        epochs = range(1, len(one.mean) + 1)
        axes.fill_between(epochs, one.low, one.high, color=form.colour, alpha=0.15, lw=0)
        axes.plot(epochs, one.mean, c=form.colour, ls=form.line, marker=form.marker, mfc=form.face, ms=4.5, lw=1.4)
    axes.set(xlabel="epoch", ylabel="validation rSum")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    grid(axes)
    warmup = int(table.group.recipe["warmup_epochs"])
    if warmup:
        left, right = axes.get_xlim()
        axes.axvspan(left, warmup + 0.5, color="#F3F3F3", lw=0, zorder=0)
        axes.set_xlim(left, right)
        axes.text(
            warmup + 0.45,
            0.99,
            "warm-up",
            ha="right",
            va="top",
            size=8,
            c="#606060",
            transform=axes.get_xaxis_transform(),
        )
    missing = lacking(table, table.whole, "")
    names, seeds = named(series)
    band = " · band: lowest to highest seed" if any(len(one.cells) > 1 for one in series) else ""
    notes = f"{seeds}{band}"
    if broken:
        missing.append(f"{len(broken)} runs without a history that can be read")
    heading(figure, title(table.group), setting(table.group), notes, missing=missing)
    room_for(figure, names)
    ends = [(float(len(one.mean)), one.mean[-1]) for one in drawn]
    at_the_end(axes, ends, names, [form.colour for form in looks])
    return Drawn(figure, missing + broken)
