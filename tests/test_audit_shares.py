"""Shares with intervals, areas, curves, and what is known of pairs; against slow, plain versions."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from negbench.benchmark.evaluation.detection import average_precision, calibration, roc_auc
from negbench.benchmark.evaluation.known_pairs import MATCH, NO_MATCH, UNKNOWN, Judged
from negbench.benchmark.evaluation.shares import share, wilson
from negbench.pipelines.manifest import table

# --- shares, areas, curves


def test_the_interval_is_wilsons_where_every_item_stands_alone() -> None:
    part = np.array([1.0] * 30 + [0.0] * 170)
    found = share(part, np.ones(200), np.arange(200))
    squares = [(one - 0.15) ** 2 for one in part]
    freedom = sum(squares) ** 2 / sum(square**2 for square in squares)
    z, n, p = float(scipy.stats.t.ppf(0.975, freedom)), 199, 0.15  # G / (G - 1) of the variance
    low, high = wilson(p, n, z)
    assert found == {"": 0.15, "_low": pytest.approx(low), "_high": pytest.approx(high)}
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert low == pytest.approx((centre - half) / (1 + z * z / n), abs=1e-5)
    assert high == pytest.approx((centre + half) / (1 + z * z / n), abs=1e-5)


def two_way(part: list[float], whole: list[float], g: list[int], h: list[int]) -> float:
    """Variance of a share, clustered both ways, in plain loops; the larger way where the sum is below it."""
    total, found = sum(whole), sum(part) / sum(whole)

    def of(keys: list[Any]) -> float:
        sums = [sum(p - found * w for p, w, k in zip(part, whole, keys, strict=True) if k == key) for key in {*keys}]
        return len(sums) / (len(sums) - 1) * sum(one**2 for one in sums)

    return max(of(g) + of(h) - of([*zip(g, h, strict=True)]), of(g), of(h)) / total**2


@pytest.mark.parametrize("seed", range(8))
def test_clusters_of_two_kinds_against_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 7, 60), rng.integers(0, 2 + 3 * seed, 60)
    whole = rng.uniform(0.5, 2, 60)
    part = whole * (rng.random(60) < 0.2 + 0.5 * (h == 0))
    found = share(part, whole, g, h)
    variance = two_way(part.tolist(), whole.tolist(), g.tolist(), h.tolist())
    squares = [
        [float(((part - found[""] * whole)[of == key]).sum()) ** 2 for key in np.unique(of)] for of in (g, h)
    ]  # fmt: skip
    freedom = min(
        max(2.0, sum(some) ** 2 / sum(one**2 for one in some)) if max(some) > 1e-20 else 99 for some in squares
    )
    z = float(scipy.stats.t.ppf(0.975, freedom))
    expected = wilson(found[""], found[""] * (1 - found[""]) / variance, z)
    assert (found["_low"], found["_high"]) == pytest.approx(expected)
    assert share(3 * part, 3 * whole, g, h) == pytest.approx(found)  # its unit has no effect
    assert share(part, whole, h, g) == pytest.approx(found)


def test_a_hub_widens_the_interval() -> None:
    """A hundred anchors of as many images, half of whose picks are one candidate: the same matches, or spread out."""
    match, anchors = np.array([1.0] * 50 + [0.0] * 50), np.arange(100)
    alone = share(match, np.ones(100), anchors, anchors)
    hub = share(match, np.ones(100), anchors, np.where(match > 0, 0, anchors))
    assert hub["_high"] - hub["_low"] > 2 * (alone["_high"] - alone["_low"])


def test_picks_that_repeat_within_an_image_say_no_more_than_one() -> None:
    once = share(np.array([1.0] * 10 + [0.0] * 40), np.ones(50), np.arange(50))
    repeated = share(np.array([1.0] * 40 + [0.0] * 160), np.ones(200), np.repeat(np.arange(50), 4))
    assert repeated == pytest.approx(once)


def test_a_share_of_zero_has_an_interval_and_one_of_nothing_has_none() -> None:
    found = share(np.zeros(20), np.ones(20), np.repeat(np.arange(5), 4))
    assert found[""] == found["_low"] == 0
    assert found["_high"] == pytest.approx(wilson(0, 5)[1])
    assert share(np.zeros(3), np.zeros(3), np.arange(3)) == {}


scored = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40)


@given(scored)
def test_area_and_precision_as_counted_one_by_one(pairs: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([s / 6 for s, _ in pairs]), np.array([label for _, label in pairs])
    ups, downs = scores[labels], scores[~labels]
    wins = sum(1.0 if up > down else 0.5 if up == down else 0.0 for up in ups for down in downs)
    area = roc_auc(scores, labels)
    assert math.isnan(area) if not len(ups) or not len(downs) else area == pytest.approx(wins / len(ups) / len(downs))
    expected, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        above = labels[scores >= threshold]
        recall = above.sum() / max(len(ups), 1)
        expected, before = expected + (recall - before) * above.mean(), recall
    precision = average_precision(scores, labels)
    assert math.isnan(precision) if not len(ups) else precision == pytest.approx(expected)


def test_calibration_bin_by_bin() -> None:
    scores, labels = np.array([0.0, 0.05, 0.1, 0.99, 1.0]), np.array([False, True, False, True, True])
    curve = calibration(scores, labels)
    assert curve[0].tolist() == pytest.approx([0.025, 0.5, 2])
    assert curve[1].tolist() == pytest.approx([0.1, 0, 1])
    assert curve[9].tolist() == pytest.approx([0.995, 1, 2])
    assert np.isnan(curve[5, :2]).all()
    assert curve[:, 2].sum() == 5


# --- what is known


def test_experts_win_and_thresholds_are_settings() -> None:
    rows = [
        ("a", "b#0", 1.0, "crowd"),
        ("a", "b#0", 1 / 3, "expert"),
        ("a", "b#1", 0.5, "crowd"),
        ("b", "a#0", 2 / 3, "expert"),
        ("b", "a#1", 0.4, "machine"),
        ("z", "a#1", 1.0, "crowd"),
    ]
    table_ = table("judgements", rows)
    images, captions = ["a", "b"], ["a#0", "a#1", "b#0", "b#1"]
    judged = Judged.of(table_, images, captions)
    assert judged is not None
    every = judged.block(np.arange(2), np.arange(4))
    assert every.tolist() == [[UNKNOWN, UNKNOWN, NO_MATCH, MATCH], [MATCH, NO_MATCH, UNKNOWN, UNKNOWN]]
    assert judged.block(np.array([1, 0, 1]), np.array([3, 0])).tolist() == [[-1, 1], [1, -1], [-1, 1]]
    strict = Judged.of(table_, images, captions, {"expert": 0.7, "crowd": 0.51, "machine": 0.4})
    assert strict is not None
    assert strict.block(np.arange(2), np.arange(4)).tolist() == [[-1, -1, 0, 0], [0, 1, -1, -1]]
    assert Judged.of(table_, ["y"], ["y#0"]) is None
    assert Judged.of(table("judgements", []), images, captions) is None
