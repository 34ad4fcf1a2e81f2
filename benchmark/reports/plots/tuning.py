"""Pictures of a study: its trials, and what mattered."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from negbench.benchmark.reports.plots.canvas import write
from negbench.benchmark.reports.plots.looks import BLACK, BLUE, GREY, ORANGE
from negbench.benchmark.reports.plots.selection import shown
from negbench.benchmark.sweeps.studies import Trial, best_of


def tuning_history(rows: Sequence[Trial], path: Path) -> None:
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
    write(figure, path)


def importance(shares: Mapping[str, float], path: Path) -> None:
    """A bar per setting, the most important on top."""
    names = sorted(shares, key=lambda name: shares[name])
    figure = Figure(figsize=(7, 1.2 + 0.4 * len(names)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh([shown(name) for name in names], [shares[name] for name in names], color=BLUE)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xlabel="importance for validation rSum (PED-ANOVA, share of 1)", xlim=(0, 1.1 * max(shares.values())))
    axes.spines[["top", "right"]].set_visible(False)
    write(figure, path)
