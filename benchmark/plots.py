"""Pictures, as PNG. Colours by Okabe and Ito, told apart by the colour-blind; forms differ too, for grey print."""

import tempfile
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.studies import Row, best_of

BLUE, ORANGE, GREY, BLACK = "#0072B2", "#E69F00", "#767676", "#000000"
COLOURS = (BLUE, "#D55E00", "#009E73", "#CC79A7", ORANGE, "#56B4E9", BLACK)


def tuning_history(rows: Sequence[Row], path: Path) -> None:
    """Validation rSum per trial, the best so far, and the default as a level."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for state, marker, colour, fill in (("complete", "o", BLUE, BLUE), ("pruned", "v", ORANGE, "none")):
        some = [(row.number, row.rsum) for row in rows if row.state == state and row.rsum is not None]
        if some:
            axes.scatter(*zip(*some, strict=True), marker=marker, edgecolors=colour, facecolors=fill, label=state)
    best = [(row.number, so_far.rsum) for row in rows if (so_far := best_of(rows[: row.number])) and so_far.rsum]
    axes.step(*zip(*best, strict=True), where="post", color=BLACK, lw=1.2, label="best so far")
    default = rows[0]
    if default.state == "complete" and default.rsum is not None:
        axes.axhline(default.rsum, color=GREY, ls="--", lw=1, label="default")
    failed = [row.number for row in rows if row.state == "failed"]
    if failed:
        axes.plot(failed, [0.02] * len(failed), "x", color=BLACK, label="failed", transform=axes.get_xaxis_transform())
    axes.set(xlabel="trial", ylabel="validation rSum")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=5, frameon=False)
    save(figure, path)


def importance(shares: Mapping[str, float], path: Path) -> None:
    """A bar per setting, the most important on top."""
    names = sorted(shares, key=lambda name: shares[name])
    figure = Figure(figsize=(7, 1.2 + 0.4 * len(names)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(names, [shares[name] for name in names], color=BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xlabel="importance for validation rSum (PED-ANOVA, share of 1)", xlim=(0, 1.1 * max(shares.values())))
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def learning_curves(path: Path, cells: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Validation rSum per epoch: the mean over a cell's seeds, and a band from the lowest to the highest."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    styles = zip(cycle(COLOURS), cycle(("-", "--", "-.", ":")), cycle("osv^D"), strict=False)
    for (name, seeds), (colour, line, marker) in zip(sorted(cells.items()), styles, strict=False):
        epochs = range(1, min(map(len, seeds)) + 1)
        columns = list(zip(*seeds, strict=False))
        means = [sum(column) / len(column) for column in columns]
        axes.plot(epochs, means, color=colour, ls=line, marker=marker, ms=4, label=name)
        axes.fill_between(epochs, [*map(min, columns)], [*map(max, columns)], color=colour, alpha=0.15, lw=0)
    axes.set(xlabel="epoch", ylabel="validation rSum")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG in one step."""
    FigureCanvasAgg(figure)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        picture = Path(scratch) / path.name
        figure.savefig(picture, dpi=150)
        picture.replace(path)
