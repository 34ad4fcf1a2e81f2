"""How often the interval of an audit's share holds the truth: simulated picks that share anchors and candidates."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from negbench.benchmark.evaluation.shares import share

REPEATS = 600
Items = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]
"""Push on matches, push, images of anchors, images of candidates."""


def picks(
    random: np.random.Generator, images: int, ease: float, likeness: float, hubs: float, base: float, tied: float
) -> Items:
    """Five picks of each image, by candidates' popularity.

    A pick matches with the chance ``expit(base + of the anchor + of the candidate)``.

    Args:
        random: of all draws.
        images: anchors, and as many candidates.
        ease: deviation of what anchors add to the chance.
        likeness: of what candidates add.
        hubs: of the logarithm of candidates' popularity.
        base: of the chance.
        tied: correlation of candidates' popularity and what they add.
    """
    of_anchor, of_candidate = random.normal(0, ease, images), random.normal(0, 1, images)
    popular = hubs * (tied * of_candidate + (1 - tied**2) ** 0.5 * random.normal(0, 1, images))
    anchors = np.repeat(np.arange(images), 5)
    scores = popular + random.gumbel(size=(len(anchors), images))
    scores[np.arange(len(anchors)), anchors] = -np.inf
    candidates = scores.argmax(axis=1)
    chance = expit(base + of_anchor[anchors] + likeness * of_candidate[candidates])
    return (random.random(len(anchors)) < chance).astype(float), np.ones(len(anchors)), anchors, candidates


def slopes(random: np.random.Generator, images: int, hubs: float) -> Items:
    """Three captions of each image push all other images: harder on popular candidates, and some captions harder."""
    of_anchor, of_candidate = random.normal(0, 0.5, images), random.normal(0, 1, images)
    matches = random.random((images, images)) < expit(-2.5 + of_anchor[:, None] + of_candidate)
    anchors = np.repeat(np.arange(images), 3)
    weights = np.exp(hubs * random.normal(0, 1, images) + 2 * random.normal(size=(len(anchors), images)))
    weights[np.arange(len(anchors)), anchors] = 0
    weights *= np.exp(0.7 * random.normal(size=(len(anchors), 1))) / weights.sum(axis=1, keepdims=True)
    rows, columns = np.repeat(anchors, images), np.tile(np.arange(images), len(anchors))
    return (weights * matches[anchors]).ravel(), weights.ravel(), rows, columns


def coverage(samples: list[Items]) -> tuple[float, float]:
    """Of the interval clustered both ways, and by anchors alone; the truth is the mean over all samples."""
    truth = np.mean([part.sum() / whole.sum() for part, whole, _, _ in samples])
    inside = []
    for part, whole, anchors, candidates in samples:
        found = [share(part, whole, anchors, candidates), share(part, whole, anchors)]
        inside.append([one["_low"] <= truth <= one["_high"] for one in found])
    two, one = np.mean(inside, axis=0).tolist()
    return two, one


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hubs", "settings"),
    [
        (False, (200, 0.0, 0.0, 0.0, -2.5, 0.0)),
        (False, (200, 0.5, 0.5, 0.5, -2.5, 0.0)),
        (True, (200, 1.0, 1.0, 1.0, -2.5, 0.7)),
        (True, (200, 0.5, 1.0, 1.5, -1.0, 0.0)),
        (True, (200, 0.5, 1.0, 1.5, -1.0, 0.7)),
        (True, (100, 0.5, 1.0, 1.0, -2.0, 0.0)),
        (True, (200, 0.5, 1.0, 2.0, -1.0, 0.0)),
    ],
)
def test_the_interval_of_picks_holds_the_truth(
    hubs: bool, settings: tuple[int, float, float, float, float, float]
) -> None:
    """With hubs one candidate has a twentieth to a fifth of all picks; then anchors alone say far too much."""
    random = np.random.default_rng(0)
    two, one = coverage([picks(random, *settings) for _ in range(REPEATS)])
    assert 0.93 <= two <= 0.975
    assert (one < 0.87) == hubs


@pytest.mark.slow
def test_few_matches_make_the_interval_wide_rather_than_narrow() -> None:
    random = np.random.default_rng(1)
    two, _ = coverage([picks(random, 200, 0.0, 0.0, 0.0, -4.0, 0.0) for _ in range(REPEATS)])
    assert 0.95 <= two <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("hubs", [0.5, 1.5])
def test_the_interval_of_slopes_holds_the_truth(hubs: float) -> None:
    random = np.random.default_rng(2)
    two, one = coverage([slopes(random, 60, hubs) for _ in range(300)])
    assert 0.93 <= two <= 0.985
    assert one < two
