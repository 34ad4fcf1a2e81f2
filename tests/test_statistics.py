"""Tests and intervals against full enumeration, scipy, scalar transcriptions, and simulated truth."""

import itertools
import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from negbench.benchmark.results import significance

Array = NDArray[np.float64]


def enumerated(parts: list[float]) -> float:
    """Every sign pattern, one by one."""
    patterns = list(itertools.product([1, -1], repeat=len(parts)))
    sums = [abs(sum(sign * part for sign, part in zip(signs, parts, strict=True))) for signs in patterns]
    return sum(total >= abs(sum(parts)) - 1e-9 for total in sums) / len(patterns)


# --- Sign flips -------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-4, 4).map(lambda number: number / 3), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_few_images_are_enumerated(parts: list[float]) -> None:
    assert significance.sign_flip([[part] for part in parts])[0] == pytest.approx(enumerated(parts), abs=1e-12)


def test_few_images_agree_with_scipy() -> None:
    random = np.random.default_rng(1)
    a, b = random.normal(0.5, 1, size=10), random.normal(size=10)
    theirs = scipy.stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", n_resamples=np.inf,
        alternative="two-sided",
    )  # fmt: skip
    assert significance.sign_flip((a - b)[:, None])[0] == pytest.approx(theirs.pvalue, abs=1e-12)


def test_many_images_are_sampled_close_to_the_truth() -> None:
    parts = np.random.default_rng(2).normal(0.3, 1, size=(12, 5))
    exact = significance.sign_flip(parts, draws=2**11)
    sampled = significance.sign_flip(parts, draws=2**11 - 1)
    assert (exact != sampled).any()
    assert sampled == pytest.approx(exact, abs=4 * math.sqrt(0.25 / 2**11))


def test_many_images_agree_with_the_normal_law() -> None:
    parts = np.random.default_rng(3).normal(0.06, 1, size=(1000, 20))
    expected = 2 * scipy.stats.norm.sf(np.abs(parts.sum(axis=0)) / np.sqrt((parts**2).sum(axis=0)))
    assert significance.sign_flip(parts) == pytest.approx(expected, abs=0.02)


def test_a_sampled_p_is_never_zero_and_no_difference_has_p_one() -> None:
    parts = np.column_stack([np.ones(100), np.zeros(100)])
    assert significance.sign_flip(parts, draws=999).tolist() == [1 / 1000, 1]
    assert significance.sign_flip(np.zeros((3, 1))).tolist() == [1]


@pytest.mark.parametrize("images", [9, 63, 64, 65, 200])
def test_chunks_and_other_columns_change_no_p(images: int) -> None:
    parts = np.random.default_rng(4).integers(-3, 4, size=(images, 6)) / 7
    whole = significance.sign_flip(parts, draws=1000)
    for chunk in (1, 7, 500, 5000):
        assert significance.sign_flip(parts, draws=1000, chunk=chunk).tolist() == whole.tolist()
    assert significance.sign_flip(parts[:, 2:3], draws=1000).tolist() == whole[2:3].tolist()
    if images > 10:
        assert significance.sign_flip(parts, draws=1000, seed=1).tolist() != whole.tolist()


# --- Bootstrap --------------------------------------------------------------------------------------------------


def test_bootstrap_against_one_test_set_at_a_time() -> None:
    """The same drawn images, their hits and queries summed up in plain loops."""
    random = np.random.default_rng(5)
    queries = random.integers(1, 6, size=(7, 2))
    hits = random.integers(0, queries + 1)
    found = significance.bootstrap(hits, queries, draws=40, seed=9, chunk=40)
    for row, drawn in zip(found, np.random.default_rng(9).integers(0, 7, size=(40, 7)), strict=True):
        for column in range(2):
            expected = sum(hits[i, column] for i in drawn) / sum(queries[i, column] for i in drawn)
            assert row[column] == pytest.approx(expected, abs=1e-12)


def test_chunks_change_no_sample() -> None:
    random = np.random.default_rng(6)
    hits, queries = random.normal(size=(33, 3)), random.integers(1, 4, size=(33, 3))
    whole = significance.bootstrap(hits, queries, draws=100)
    for chunk in (1, 7, 99, 1000):
        assert significance.bootstrap(hits, queries, draws=100, chunk=chunk) == pytest.approx(whole, abs=1e-13)


def test_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(7).normal(0.2, 1, size=300)
    low, high = significance.interval(significance.bootstrap(values[:, None], np.ones((300, 1))))
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert (low[0], high[0]) == pytest.approx((theirs.low, theirs.high), abs=0.006)


# --- Holm and seeds ---------------------------------------------------------------------------------------------


def holm_by_hand(p: list[float]) -> list[float]:
    """Holm 1979, as a table is worked down by hand."""
    adjusted, largest = [0.0] * len(p), 0.0
    for step, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        largest = max(largest, (len(p) - step) * p[place])
        adjusted[place] = min(1.0, largest)
    return adjusted


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm(p: list[float]) -> None:
    assert significance.holm(p).tolist() == pytest.approx(holm_by_hand(p))
    assert all(after >= before for before, after in zip(p, significance.holm(p), strict=True))


def test_paired_t() -> None:
    a, b = [3.0, 5.0, 4.0, 6.0], [2.0, 4.5, 4.1, 4.0]
    assert significance.paired_t(a, b) == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue)
    assert significance.paired_t(a[:2], b[:2]) is None
    assert significance.paired_t([1.1, 2.1, 3.1], [1.0, 2.0, 3.0]) is None  # all alike: no deviation to test against


def test_paired_wilcoxon() -> None:
    a, b = np.random.default_rng(8).normal(size=(2, 8))
    differences = sorted(abs(a - b))
    signed = [(1 + differences.index(abs(gap))) * np.sign(gap) for gap in a - b]
    expected = enumerated([float(one) for one in signed])
    assert significance.paired_wilcoxon(a, b) == pytest.approx(expected)
    assert significance.paired_wilcoxon(a, b) == pytest.approx(scipy.stats.wilcoxon(a, b).pvalue)


def test_wilcoxon_speaks_only_where_it_could_find_something() -> None:
    ahead = np.arange(1.0, 7)
    assert significance.paired_wilcoxon(ahead, np.zeros(6)) == pytest.approx(2 / 2**6)  # the least there is
    assert 2 / 2**5 > 0.05
    assert significance.paired_wilcoxon(ahead[:5], np.zeros(5)) is None
    assert significance.paired_wilcoxon([*ahead[:5], 0], np.zeros(6)) is None  # 0 is no witness


def test_standardised_difference() -> None:
    assert significance.standardised([4, 6], [1, 1]) == pytest.approx(4 / math.sqrt((2 + 0) / 2))
    assert significance.standardised([4], [1]) is None
    assert significance.standardised([4, 4], [1, 1]) is None


# --- Trainings and images drawn anew ----------------------------------------------------------------------------


def both_by_hand(parts: Array) -> float:
    """``parts [S, C]``, in plain loops; the p at which Cochran's quantile is |t| by a root finder."""
    seeds, images = parts.shape
    mean = sum(parts[s, c] for s in range(seeds) for c in range(images)) / (seeds * images)
    of_seed = [sum(parts[s, c] for c in range(images)) / images for s in range(seeds)]
    of_image = [sum(parts[s, c] for s in range(seeds)) / seeds for c in range(images)]
    m_seed = images * sum((one - mean) ** 2 for one in of_seed) / (seeds - 1)
    m_image = seeds * sum((one - mean) ** 2 for one in of_image) / (images - 1)
    left = sum(
        (parts[s, c] - of_seed[s] - of_image[c] + mean) ** 2 for s in range(seeds) for c in range(images)
    )  # fmt: skip
    more = max(m_image - left / ((seeds - 1) * (images - 1)), 0)
    t = abs(mean) / math.sqrt((m_seed + more) / (seeds * images))

    def above(log_p: float) -> float:
        one, other = (scipy.stats.t.isf(math.exp(log_p) / 2, degrees) for degrees in (seeds - 1, images - 1))
        return float((m_seed * one + more * other) / (m_seed + more) - t)

    return math.exp(scipy.optimize.brentq(above, math.log(1e-12), 0))


@pytest.mark.parametrize("seeds", [3, 5])
def test_both_against_plain_loops(seeds: int) -> None:
    random = np.random.default_rng(9)
    parts = (
        random.normal(0.3, 1, (seeds, 20, 6)) + random.normal(0, 0.3, (seeds, 1, 6)) + random.normal(size=(1, 20, 6))
    )
    found = significance.both(parts)
    assert found is not None
    assert found == pytest.approx([both_by_hand(parts[:, :, column]) for column in range(6)], rel=1e-6)


def test_both_is_a_t_test_where_only_one_source_is_there() -> None:
    random = np.random.default_rng(10)
    gaps = random.normal(0.5, 1, size=(4, 5))
    alike = significance.both(np.repeat(gaps[:, None], 30, axis=1))  # every image says what its training says
    assert alike == pytest.approx(scipy.stats.ttest_1samp(gaps, 0).pvalue)
    images = random.normal(0.2, 1, size=(30, 5))
    stable = significance.both(np.repeat(images[None], 4, axis=0))  # every training is the same
    assert stable == pytest.approx(scipy.stats.ttest_1samp(images, 0).pvalue)


def test_both_at_its_ends() -> None:
    assert significance.both(np.ones((2, 9, 1))) is None  # two trainings say next to nothing of a third
    assert significance.both(np.ones((3, 1, 1))) is None
    found = significance.both(np.stack([np.zeros((3, 9)), np.ones((3, 9))], axis=-1))
    assert found == pytest.approx([1, significance.LEAST_P])


# --- Simulated truth --------------------------------------------------------------------------------------------

IMAGES, CAPTIONS, COMPARISONS, BATCH = 200, 5, 2000, 100


def simulated(effect: float, seed: int) -> Array:
    """Differences of hits of ``BATCH`` comparisons, ``[C, 5, BATCH]``.

    A caption is found where its image's ease + what the method makes of the image + what it makes of the caption is
    above 0. The methods are alike but for ``effect``, so they may be swapped on any image; but what a method makes of
    an image goes through all of its captions.
    """
    random = np.random.default_rng(seed)
    ease = random.normal(size=(IMAGES, 1, BATCH))
    found = []
    for gain in (effect, 0.0):
        of_image = random.normal(size=(IMAGES, 1, BATCH))
        of_caption = random.normal(0, 0.7, size=(IMAGES, CAPTIONS, BATCH))
        found.append(ease + gain + of_image + of_caption > 0)
    return np.subtract(*found, dtype=np.float64)


def rejected(effect: float, clustered: bool) -> float:
    """Share of comparisons with p < 0.05; every hundred of them with other sign patterns."""
    count = 0
    for batch in range(COMPARISONS // BATCH):
        gap = simulated(effect, batch)
        parts = gap.sum(axis=1) if clustered else gap.reshape(-1, BATCH)
        count += int((significance.sign_flip(parts, draws=999, seed=batch) < 0.05).sum())
    return count / COMPARISONS


@pytest.mark.slow
def test_the_null_is_rejected_as_often_as_said() -> None:
    assert 0.04 <= rejected(0.0, clustered=True) <= 0.06


@pytest.mark.slow
def test_flipping_each_query_by_itself_would_be_wrong() -> None:
    assert rejected(0.0, clustered=False) > 0.08


@pytest.mark.slow
def test_power() -> None:
    """A method that finds 8 of 100 captions more is told apart 3 times of 4, as the normal law has it."""
    gaps = np.concatenate([simulated(0.35, batch).sum(axis=1) for batch in range(5)], axis=1)  # [C, 500]
    assert 100 * gaps.mean() / CAPTIONS == pytest.approx(8, abs=1)
    shift = math.sqrt(IMAGES) * gaps.mean() / gaps.std()
    expected = scipy.stats.norm.sf(1.96 - shift)
    assert expected > 0.7
    assert rejected(0.35, clustered=True) == pytest.approx(expected, abs=0.03)


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_said() -> None:
    truth = float(np.mean([simulated(0.35, 1000 + batch).mean() for batch in range(60)]))
    inside = 0
    for batch in range(10):
        hits = simulated(0.35, batch).sum(axis=1)
        shares = significance.bootstrap(hits, np.full_like(hits, CAPTIONS), draws=999, seed=batch)
        low, high = significance.interval(shares)
        inside += int(((low <= truth) & (truth <= high)).sum())
    assert 0.93 <= inside / (10 * BATCH) <= 0.97


# --- Which test over trainings and images -----------------------------------------------------------------------


def of_the_model(seeds: int, images: int, shares: tuple[float, float], level: float, draws: int) -> dict[str, float]:
    """How often each candidate errs at ``level``, from the mixed model itself: its mean squares are chi-squared.

    ``shares``: of the variance of the mean that trainings and images have; the rest is of neither.
    """
    random, freedom = np.random.default_rng(15), (seeds - 1, images - 1)
    rest = 1 - sum(shares)
    of_seeds, of_images = (
        (share + rest) * random.chisquare(degrees, draws) / degrees
        for share, degrees in zip(shares, freedom, strict=True)
    )
    degrees = freedom[0] * freedom[1]
    of_rest = rest * random.chisquare(degrees, draws) / degrees
    more = np.maximum(of_images - of_rest, 0)
    value, whole = random.normal(size=draws), of_seeds + more
    below = of_seeds**2 / freedom[0] + np.where(more > 0, of_images**2 / freedom[1] + of_rest**2 / degrees, 0)
    p = {
        "flips": 2 * scipy.stats.norm.sf(np.abs(value) / of_images**0.5),  # as good as, with 300 images
        "t": 2 * scipy.stats.t.sf(np.abs(value) / of_seeds**0.5, freedom[0]),
        "satterthwaite": 2 * scipy.stats.t.sf(np.abs(value) / whole**0.5, whole**2 / below),
        "cochran": significance._cochran(value, (of_seeds, more), freedom),
    }
    return {name: float(((one < level) & (p["flips"] < level)).mean()) for name, one in p.items()}


@pytest.mark.slow
def test_why_cochrans_quantile() -> None:
    """Of the candidates it alone errs no more often than it says, whatever the mixture, and far out."""
    mixtures = [(0.999, 0.001), (0.9, 0.1), (0.6, 0.4), (0.4, 0.6), (0.1, 0.9), (0.6, 0.2)]
    worst = {seeds: [of_the_model(seeds, 300, shares, 0.05, 10_000) for shares in mixtures] for seeds in (3, 10)}
    assert all(each["cochran"] < 0.057 for some in worst.values() for each in some)
    assert max(each["satterthwaite"] for each in worst[3]) > 0.07
    assert max(each["t"] for each in worst[10]) > 0.1  # either may pass by chance: more seeds make it worse
    assert max(each["flips"] for each in worst[3]) > 0.9
    far = of_the_model(3, 300, (0.9, 0.1), 0.0025, 100_000)
    assert far["satterthwaite"] > 6 * 0.0025
    assert far["cochran"] < 2 * 0.0025


# --- Simulated trainings ----------------------------------------------------------------------------------------

STABLE, UNSTABLE, COLLAPSING = 0.03, 0.15, 1.0
"""Deviation over trainings of a method's ease; the last: a fifth of the trainings lose as much."""


def trainings(
    seeds: int, spread: float, random: np.random.Generator, method: float = 0.0, rows: int = BATCH, gain: float = 0.0
) -> Array:
    """Hits of each image in the trainings of ``rows`` methods of one kind: ``[S, C, rows]``.

    A caption is found where ease of its image + what the method makes of the image (deviation ``method``) + what the
    training makes of it + that of the caption + the training's own skill + ``gain`` is above 0.
    """
    lost = random.random((seeds, 1, 1, rows)) < 0.2
    skill = -spread * lost if spread == COLLAPSING else random.normal(0, spread, (seeds, 1, 1, rows))
    of_method = random.normal(0, method, (1, IMAGES, 1, rows))
    of_training = random.normal(0, 0.5, (seeds, IMAGES, 1, rows)).astype(np.float32)
    of_caption = random.normal(0, 0.7, (seeds, IMAGES, CAPTIONS, rows)).astype(np.float32)
    ease = np.random.default_rng(0).normal(size=(1, IMAGES, 1, 1))
    found: Array = (ease + of_method + of_training + of_caption + skill + gain > 0).sum(axis=2).astype(np.float64)
    return found


def marked(gaps: Array, seed: int) -> dict[str, NDArray[np.bool_]]:
    """Of differences ``[S, C, R]`` in one family of R rows: which are below 0.05, by each test and by both."""
    flips = significance.holm(significance.sign_flip(gaps.mean(axis=0), draws=999, seed=seed)) < 0.05
    anew = significance.both(gaps)
    assert anew is not None
    over_both = significance.holm(anew) < 0.05
    return {"flips": flips, "both": over_both, "mark": flips & over_both}


def one_by_one(gaps: Array, seed: int) -> dict[str, float]:
    """The shares, where each difference is a family of its own."""
    flips = significance.sign_flip(gaps.mean(axis=0), draws=999, seed=seed) < 0.05
    anew = significance.both(gaps)
    assert anew is not None
    return {"flips": float(flips.mean()), "mark": float((flips & (anew < 0.05)).mean())}


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("spread", [STABLE, UNSTABLE, COLLAPSING])
def test_two_groups_of_trainings_of_one_method_are_seldom_marked(spread: float, seeds: int) -> None:
    random, found = np.random.default_rng(11), []
    for batch in range(30):
        one, other = (trainings(seeds, spread, random) for _ in range(2))
        found.append(one_by_one(one - other, batch))
    assert np.mean([each["mark"] for each in found]) <= 0.07
    if spread != STABLE:  # averaging over seeds does not help the test over queries alone
        assert np.mean([each["flips"] for each in found]) > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_methods_that_differ_on_images_but_not_on_the_whole_are_seldom_marked(seeds: int) -> None:
    """Both sources at once: as large from images as from trainings, where each test alone errs."""
    random, found = np.random.default_rng(12), []
    for batch in range(30):
        one, other = (trainings(seeds, 0.12, random, method=1.0) for _ in range(2))
        found.append(one_by_one(one - other, batch))
    assert np.mean([each["mark"] for each in found]) <= 0.07
    assert np.mean([each["flips"] for each in found]) > 0.08


@pytest.mark.slow
def test_a_family_of_unstable_rows_has_seldom_any_mark() -> None:
    """Ten rows of the same method as the baseline, three seeds: what Holm promises is kept."""
    random, any_mark, any_flip = np.random.default_rng(13), 0, 0
    for family in range(300):
        baseline = trainings(3, UNSTABLE, random, rows=1)
        found = marked(trainings(3, UNSTABLE, random, rows=10) - baseline, family)
        any_mark += bool(found["mark"].any())
        any_flip += bool(found["flips"].any())
    assert any_mark / 300 <= 0.07
    assert any_flip / 300 > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "least"), [(3, 0.5), (5, 0.85)])
def test_a_real_effect_is_marked(seeds: int, least: float) -> None:
    """A method that finds 8 of 100 captions more, of trainings that differ by 1 or 2."""
    random, shares, gains = np.random.default_rng(14), [], []
    for batch in range(12):
        one, other = (trainings(seeds, 0.06, random, method=0.5, gain=gain) for gain in (0.28, 0.0))
        shares.append(one_by_one(one - other, batch)["mark"])
        gains.append(float((one - other).mean()))
    assert 100 * np.mean(gains) / CAPTIONS == pytest.approx(8, abs=1)
    assert np.mean(shares) >= least
