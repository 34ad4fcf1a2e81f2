"""Distributions of similarities in one run, epoch by epoch, and what a method makes of them that fits distributions, as
FNE does: normals, posterior and sampling weight, by the method's own code from what it reported of that epoch.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm

from negbench import methods
from negbench.benchmark.errors import BenchError, NoDataError
from negbench.benchmark.evaluation.similarities import read_similarities
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.plots.canvas import Drawn, grid, heading
from negbench.benchmark.reports.plots.labels import legend_below
from negbench.benchmark.reports.plots.lettering import points
from negbench.benchmark.reports.plots.looks import BLACK, BLUE, GREY, ORANGE, VERMILLION
from negbench.benchmark.reports.plots.selection import Wanted, tables
from negbench.benchmark.results.integrity import believed
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import check_arrays, content
from negbench.methods.base import Curves, Method

PANELS, NARROW = 4, 1.4
"""Epochs shown where none are named, and beside each other at most; how many inches each has at least."""
COARSER = 2
"""Bins of the histograms drawn as one."""
Values = NDArray[np.float64]


class Layer(NamedTuple):
    kind: str
    name: str
    colour: str
    line: str
    fill: float


LAYERS = (
    Layer("negative", "negatives", GREY, ":", 0.25),
    Layer("hardest", "hardest negatives of a batch", ORANGE, "-.", 0),
    Layer("false_negative", "false negatives", VERMILLION, "--", 0),
    Layer("positive", "positives", BLUE, "-", 0.2),
)


@dataclass(frozen=True)
class RunsToDraw:
    """The runs of which one is drawn."""

    name: str
    cells: tuple[Recorded, ...]
    """The first whose files can be read is."""


def subjects(question: Wanted) -> list[RunsToDraw]:
    """The run asked for; else of each table the best run whose method fits distributions, else the best one."""
    if question.run:
        if not question.run.is_dir():
            raise NoDataError(f"--run {question.run}: there is no such folder")
        cell = believed(question.run)
        record = cell.record
        return [RunsToDraw(f"{record.dataset}-{record.method_id}-seed-{record.seed}", (cell,))]
    found = []
    for table in tables(question):
        cells = [cell for series in table.whole for cell in series.cells]
        if cells:
            found.append(RunsToDraw(table.name, tuple(sorted(cells, key=lambda cell: not fits(cell)))))
    if not found:
        raise NoDataError("every run asked for failed; there is nothing to draw")
    return found


def fits(cell: Recorded) -> bool:
    """Whether the method of a run fits distributions."""
    name = cell.record.about.method
    return cell.record.config is not None and name in methods.names() and methods.get(name).curves is not Method.curves


def method_of(cell: Recorded) -> Any:
    """The method of a run with its settings, as it was before training."""
    return methods.get(recipe_of(cell).method)(**recipe_of(cell).settings)


def recipe_of(cell: Recorded) -> RunConfig:
    """How it was trained; ``NoDataError`` where that was elsewhere."""
    if cell.record.config is None:
        raise NoDataError(f"{cell.folder}: trained elsewhere, so there are no epochs to draw")
    return cell.record.config


def density(counts: NDArray[np.int64], edges: Values) -> tuple[Values, Values]:
    """Middles of the coarser bins, and the density there: its integral is 1; zeros where nothing was counted."""
    some = counts.reshape(-1, COARSER).sum(axis=1).astype(float)
    coarse = edges[::COARSER]
    width = np.diff(coarse)
    return coarse[:-1] + width / 2, some / (max(some.sum(), 1) * width)


def chosen(question: Wanted, epochs: int) -> list[int]:
    """Epochs to draw, from 0: those asked for, or evenly spread ones with the first and the last."""
    if not question.epochs:
        return sorted({round(place) for place in np.linspace(0, epochs - 1, min(PANELS, epochs))})
    if wrong := [epoch for epoch in question.epochs if not 1 <= epoch <= epochs]:
        raise BenchError(f"--epoch {wrong[0]}: the run has epochs 1 to {epochs}")
    return sorted({epoch - 1 for epoch in question.epochs})


def curves(cell: Recorded, row: dict[str, float], similarity: Values) -> Curves | None:
    """By the method's own code, with what it reported of an epoch; None where there is nothing."""
    if not fits(cell):
        return None
    reported = {name.removeprefix("method_"): value for name, value in row.items() if name.startswith("method_")}
    found: Curves | None = method_of(cell).curves(reported, torch.from_numpy(similarity))
    return found


def limits(histograms: dict[str, Any], epochs: list[int]) -> tuple[float, float]:
    """Where all but a thousandth of each kind lies, in any of the epochs."""
    edges, ends = histograms["edges"], []
    for look in LAYERS:
        name = f"validation_{look.kind}"
        for counts in histograms[name][epochs] if name in histograms else ():
            if counts.sum():
                share = counts.cumsum() / counts.sum()
                ends += [edges[np.searchsorted(share, 0.001)], edges[np.searchsorted(share, 0.999) + 1]]
    return max(min(ends) - 0.03, -1), min(max(ends) + 0.03, 1)


def draw(subject: RunsToDraw, question: Wanted) -> Drawn:
    """A column per epoch: densities above, with what was fitted; below them weight and posterior, where known."""
    cell, histograms, history, broken = first_readable(subject)
    config, epochs = recipe_of(cell), chosen(question, len(history))
    low, high = limits(histograms, epochs)
    similarity = np.linspace(low, high, 401)
    made = [curves(cell, history[epoch], similarity) for epoch in epochs]
    some = next((each for each in made if each is not None), None)
    grids = laid_out(len(epochs), some is not None, question.page.width)
    figure = grids[0, 0].figure
    for (top, *under), epoch, own in zip(grids.T, epochs, made, strict=True):
        warmup = epoch < config.warmup_epochs
        top.set_title(f"epoch {epoch + 1}" + (" (warm-up)" if warmup else ""), loc="left")
        densities(top, histograms, epoch)
        if own:
            normals(top, own, similarity)
        for axes in under:
            below(axes, own, similarity)
    grids[0, 0].set(xlim=(low, high))
    grids[0, 0].set_ylim(bottom=0)
    if some:
        grids[1, 0].set(ylim=(-0.03, 1.08))
    where = f"memory {config.memory:,}" if config.memory else "in batch"
    heading(
        figure,
        question.page,
        f"{config.dataset} · {cell.record.method_id}, {where}, seed {config.seed}",
        f"encoder {config.encoder} · {config.epochs} epochs · batch {config.batch}",
        assumed(some) if some else "",
    )
    entries: dict[str, Any] = {}
    for axes in grids.flat:
        entries |= {name: handle for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    legend_below(figure, [*entries.values()], [*entries])
    return Drawn(figure, broken)


def laid_out(epochs: int, fitted: bool, width: float | None) -> NDArray[Any]:
    """Axes ``[kinds, epochs]``: densities, below them weights where something was fitted; some epochs to a line."""
    most = PANELS if width is None else max(int((width - 0.4) / NARROW), 1)
    columns = min(most, epochs)
    lines = -(-epochs // columns)
    wide = width or max(2.6 * columns, 5.2) + 0.6
    high = min(1.0, (wide - 0.4) / columns / 2)
    heights = [3 * high, 1.3 * high][: 1 + fitted]
    figure = Figure(figsize=(wide, lines * (sum(heights) + 0.3)), layout="constrained")
    kinds = len(heights)
    grids = figure.subplots(
        lines * kinds, columns, squeeze=False, sharex=True, sharey="row", height_ratios=heights * lines
    )
    for row, axes in enumerate(grids[:, 0]):
        axes.set_ylabel(("density, validation pairs", "sampling weight,\nposterior")[row % kinds])
        if row >= kinds:
            axes.sharey(grids[row % kinds, 0])
    panels: NDArray[Any] = grids.reshape(lines, kinds, columns).swapaxes(0, 1).reshape(kinds, -1)
    for axes in panels[:, epochs:].flat:
        axes.set_axis_off()
    for axes in panels[-1, epochs - columns : epochs]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("similarity")
    return panels[:, :epochs]


def assumed(made: Curves) -> str:
    """What must be known of the curves: which pairs were fitted, and which anchor the weight is of."""
    return (
        f"normals: fitted to {made.fitted_to}"
        " · sampling weight: of an anchor with s⁺ = μ⁺, the mean of the fitted positives"
    )


def first_readable(subject: RunsToDraw) -> tuple[Recorded, dict[str, Any], list[dict[str, float]], list[str]]:
    """The first run that can be read, what ``opened`` gives of it, and why those before are not drawn."""
    broken: list[str] = []
    for cell in subject.cells:
        try:
            return cell, *opened(cell), broken
        except NoDataError as error:
            broken.append(str(error))
    raise NoDataError(broken[0])


def opened(cell: Recorded) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Histograms and history of a run; ``NoDataError`` where one is missing or broken."""
    recipe_of(cell)
    histograms, history = read(cell), cell.history
    if len(history) != len(histograms["validation_positive"]):
        raise NoDataError(f"{cell.folder}: history.csv and similarities.npz are not of one run; run the cell again")
    return histograms, history


def read(cell: Recorded) -> dict[str, Any]:
    """``read_similarities``; older records have no such file."""
    path = cell.folder / "similarities.npz"
    if not path.exists():
        raise NoDataError(f"{path}: missing: the record is older than the audit; run the cell again with --force")
    content(cell.folder, cell.record, path.name)
    check_arrays(path)
    found = read_similarities(path)
    if "validation_positive" not in found:
        raise NoDataError(f"{path}: no histograms of epochs; run the cell again with --force")
    return found


def densities(axes: Axes, histograms: dict[str, Any], epoch: int) -> None:
    for look in LAYERS:
        name = f"validation_{look.kind}"
        if name in histograms and histograms[name][epoch].sum():
            x, y = density(histograms[name][epoch], histograms["edges"])
            axes.fill_between(x, y, color=look.colour, alpha=look.fill, lw=0)
            axes.plot(x, y, c=look.colour, ls=look.line, lw=1.5, label=look.name)
    grid(axes)


def normals(axes: Axes, made: Curves, similarity: Values) -> None:
    """What was fitted."""
    for (name, (mean, deviation)), line in zip(made.normals.items(), ("-", (0, (6, 3))), strict=True):
        y = norm.pdf(similarity, mean, deviation)
        axes.plot(similarity, y, c=BLACK, lw=1, ls=line, label=f"normal fitted to {name}")


def below(axes: Axes, made: Curves | None, similarity: Values) -> None:
    """Weight and posterior, and where the anchor's positive is."""
    grid(axes)
    if made is None:
        axes.text(
            0.5,
            0.5,
            "no statistics yet",
            ha="center",
            va="center",
            size=points(8),
            c="#606060",
            transform=axes.transAxes,
        )
        return
    weight, posterior = made.weight.numpy(), made.posterior.numpy()
    axes.fill_between(similarity, weight, color="#009E73", alpha=0.2, lw=0)
    axes.plot(similarity, weight, c="#009E73", lw=1.6, label="sampling weight")
    axes.axvline(made.normals["positives"][0], c="#606060", lw=0.9, ls=(0, (1, 3)), label="s⁺ = μ⁺ (assumed)")
    axes.plot(similarity, posterior, c=VERMILLION, lw=1.2, ls=(0, (1, 1)), label="posterior P(match | s)")
