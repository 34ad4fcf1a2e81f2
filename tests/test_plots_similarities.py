"""The picture of one run's similarities: densities, limits, and FNE's weight by its formula written out."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm

from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.plots.page import SCREEN, Page
from negbench.benchmark.reports.plots.selection import Wanted
from negbench.benchmark.reports.plots.similarities import RunsToDraw, curves, density, draw, limits
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import RunRecord

EDGES = np.linspace(-1, 1, 201)
ROW = {
    "val_rsum": 200.0,
    "method_positive_mean": 0.5,
    "method_positive_std": 0.1,
    "method_negative_mean": 0.3,
    "method_negative_std": 0.08,
    "method_pairs": 5000.0,
}


COUNTS = st.dictionaries(st.integers(0, 199), st.integers(1, 10**6), max_size=9)


def histogram(filled: dict[int, int]) -> NDArray[np.int64]:
    """Counts in the given bins of 200, 0 in all others."""
    counts = np.zeros(200, dtype=np.int64)
    counts[list(filled)] = list(filled.values())
    return counts


def cell(folder: Path, method: str = "fne", **changes: Any) -> Recorded:
    config = RunConfig(method=method, settings=changes, dataset="easy", encoder="made+up", seed=3, epochs=2)
    hashes: dict[str, Any] = dict.fromkeys(("config_hash", "recipe_hash", "manifest_hash", "features_hash"), "h")
    protocol = Protocol(name="easy", images=5, captions=25)
    return Recorded(
        folder, RunRecord(status="done", method_id=config.method_id, config=config, protocol=protocol, **hashes)
    )


@settings(deadline=None, max_examples=30)
@given(COUNTS)
def test_a_density_integrates_to_one_over_what_was_counted(filled: dict[int, int]) -> None:
    counts = histogram(filled)
    x, y = density(counts, EDGES)
    width = x[1] - x[0]
    assert len(x) == 100
    assert np.sum(y) * width == pytest.approx(1 if filled else 0)
    shares = counts.reshape(-1, 2).sum(axis=1) / max(sum(counts), 1)
    assert y * width == pytest.approx(shares)
    assert x == pytest.approx(EDGES[1:-1:2])  # the middle of two bins is the edge between them


@settings(deadline=None, max_examples=30)
@given(COUNTS.filter(bool), COUNTS)
def test_limits_hold_nearly_all_of_every_kind_and_epoch(one: dict[int, int], other: dict[int, int]) -> None:
    first, second = histogram(one), histogram(other)
    histograms = {"edges": EDGES, "validation_positive": np.stack([first, second])}
    low, high = limits(histograms, [0, 1])
    assert -1 <= low < high <= 1
    for some in (first, second):
        outside = some[EDGES[1:] <= low].sum() + some[EDGES[:-1] >= high].sum()
        assert outside <= 0.002 * some.sum()


def test_limits_leave_out_epochs_that_are_not_drawn() -> None:
    counts = np.zeros((2, 200), dtype=int)
    counts[0, 120], counts[1, 10] = 100, 100
    low, high = limits({"edges": EDGES, "validation_negative": counts}, [0])
    assert (low, high) == pytest.approx((EDGES[120] - 0.03, EDGES[121] + 0.03))


@pytest.mark.parametrize("changes", [{}, {"tau_close": 9.0, "prior": 50.0}, {"false_weight": "probability"}])
def test_weight_and_posterior_are_the_formula_for_the_mean_positive(tmp_path: Path, changes: dict[str, Any]) -> None:
    similarity = np.linspace(-0.2, 0.9, 221)
    found = curves(cell(tmp_path, **changes), ROW, similarity)
    assert found is not None
    prior, close = changes.get("prior", 10000.0), changes.get("tau_close", 0.5)
    for s, weight, posterior in zip(similarity, found.weight.tolist(), found.posterior.tolist(), strict=True):
        match = norm.pdf(s, 0.5, 0.1)
        p = match / (match + (prior - 1) * norm.pdf(s, 0.3, 0.08))
        assert posterior == pytest.approx(p, rel=1e-6, abs=1e-12)
        if abs(s - 0.3) < 1e-9:  # the very edge of the cut
            continue
        wanted = math.exp(-close * (s - 0.5) ** 2)
        if p > 0.001:
            wanted = 1 - p if "false_weight" in changes else math.exp(-0.5 * p)
        assert weight == pytest.approx(wanted if s > 0.5 - 0.2 else 0, rel=1e-6, abs=1e-9)


def test_what_has_no_fit_has_no_weight(tmp_path: Path) -> None:
    similarity = np.linspace(-1, 1, 5)
    assert curves(cell(tmp_path, "hardest"), ROW, similarity) is None
    assert curves(cell(tmp_path), {"val_rsum": 1.0}, similarity) is None  # the warm-up's epochs
    assert curves(cell(tmp_path), ROW | {"method_pairs": math.nan}, similarity) is None


def drawn(folder: Path, epochs: tuple[int, ...] = (), of: int = 3, page: Page = SCREEN) -> Figure:
    """The picture of a run of ``of`` epochs."""
    columns = sorted(ROW)
    line = ",".join(str(ROW[name]) for name in columns) + "\n"
    (folder / "history.csv").write_text(f"{','.join(columns)}\n" + of * line)
    counts = np.tile(np.bincount(np.arange(100, 180), minlength=200), (of, 1))
    kinds: dict[str, Any] = {
        f"validation_{kind}": counts for kind in ("positive", "negative", "hardest", "false_negative")
    }
    np.savez(folder / "similarities.npz", edges=EDGES, fitted=np.zeros(0), **kinds)
    return draw(RunsToDraw("easy", (cell(folder),)), Wanted(epochs=epochs, page=page)).figure


@pytest.fixture
def picture(tmp_path: Path) -> Figure:
    return drawn(tmp_path, of=2)


def test_both_normals_are_told_apart_without_colour(picture: Figure) -> None:
    lines = {line.get_label(): line for line in picture.axes[0].lines}
    positive, negative = lines["normal fitted to positives"], lines["normal fitted to hardest negatives"]
    assert positive.get_linestyle() != negative.get_linestyle()
    top = {line: np.asarray(line.get_xdata())[np.argmax(line.get_ydata())] for line in (positive, negative)}
    assert top[positive] == pytest.approx(0.5, abs=0.01)
    assert top[negative] == pytest.approx(0.3, abs=0.01)
    (legend,) = picture.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert len(named) == len(set(named)) == 9  # four kinds, two normals, weight, posterior, s+


def test_the_picture_says_what_it_assumes(picture: Figure) -> None:
    told = " ".join(picture.get_suptitle().split())
    assert "easy · fne, memory 2,048, seed 3" in told
    assert "encoder made+up · 2 epochs · batch 128" in told
    assert "an anchor with s⁺ = μ⁺" in told
    assert "training pairs that rank first in both directions" in told
    below = picture.axes[2]
    assert below.get_ylabel() == "sampling weight,\nposterior"
    (assumed,) = (line for line in below.lines if str(line.get_label()).startswith("s⁺"))
    assert np.asarray(assumed.get_xdata()).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("epochs", [(2,), (2, 3), (1, 2, 3), ()], ids=str)
def test_the_legend_is_inside_the_picture(tmp_path: Path, epochs: tuple[int, ...]) -> None:
    shown = drawn(tmp_path, epochs)
    shown.canvas.draw()
    (legend,) = shown.legends
    box, frame = legend.get_window_extent(), shown.bbox
    assert frame.x0 <= box.x0 < box.x1 <= frame.x1
    ends = [axes.get_tightbbox() for axes in shown.axes]
    assert frame.y0 <= box.y0 < box.y1 <= min(end.y0 for end in ends if end is not None)
    for text in legend.get_texts():
        assert frame.x0 <= text.get_window_extent().x0 < text.get_window_extent().x1 <= frame.x1
