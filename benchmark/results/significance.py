"""Tests and intervals for two methods on the same test set; what they mean stands in docs/statistics.md.

The queries of one image, itself and its captions, are no independent witnesses, so everything here works on sums over
images: ``[C, M]``, C images and M figures at a time. The same input gives the same digits, whatever the chunk.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

DRAWS = 10_000
"""Random sign patterns, or resampled test sets."""
CHUNK = 500
"""Draws at a time; changes memory, no result."""
BLOCK = 64
"""Pairs of rows at a time; likewise."""
LEVEL = 0.95
"""Of the intervals."""
T_SEEDS = 3
"""Seeds a test over trainings needs: of two, the deviation has one degree of freedom and says next to nothing."""
LEAST_P = 1e-12
"""Smaller ones mean nothing: no tail of real data is known that far out."""
WILCOXON_SEEDS = 6
"""Seeds a signed-rank test needs: of n, its smallest p is 2 / 2^n, which is below 0.05 from six on."""


def sign_flip(parts: ArrayLike, draws: int = DRAWS, seed: int = 0, chunk: int = CHUNK) -> Array:
    """Two-sided p ``[M]`` of the paired randomisation test: were A and B swapped on any image, who would notice?

    The statistic is the sum over images. Its null distribution comes from turning the sign of each image's part, all
    queries of the image at once. Where all sign patterns (half of them: the test is symmetric) are no more than
    ``draws``, every one is looked at and p is a share; else p = (1 + count) / (1 + draws).

    Args:
        parts: ``[C, M]``: what each image adds to each difference. The p of a column depends on that column alone.
        draws: random patterns.
        seed: of the random patterns.
        chunk: patterns at a time.
    """
    parts = np.asarray(parts, dtype=np.float64)
    images = len(parts)
    exact = images <= 1 or 2 ** (images - 1) <= draws
    limit = _limit(parts)
    count = np.zeros(parts.shape[1], dtype=np.int64)
    for signs in _every_sign(images, chunk) if exact else _random_signs(images, draws, seed, chunk):
        count += (np.abs(signs @ parts) >= limit).sum(axis=0)
    p: Array = count / max(1, 2 ** (images - 1)) if exact else (1 + count) / (1 + draws)
    return p


def sign_flip_pairs(parts: Array, pairs: NDArray[np.int64], draws: int = DRAWS, seed: int = 0) -> Array:
    """``sign_flip`` of many pairs of rows, p ``[P, M]``: the sums of a row are made once for all its pairs.

    Args:
        parts: ``[C, R, M]``: what each image adds to each figure of each row.
        pairs: ``[P, 2]``: the two rows of each.
        draws: random patterns.
        seed: of the random patterns.
    """
    images = len(parts)
    exact = images <= 1 or 2 ** (images - 1) <= draws
    blocks = [pairs[start : start + BLOCK] for start in range(0, len(pairs), BLOCK)]
    limits = [_limit(parts[:, some[:, 0]] - parts[:, some[:, 1]]) for some in blocks]
    counts = [np.zeros(limit.shape, dtype=np.int64) for limit in limits]
    for signs in _every_sign(images, CHUNK) if exact else _random_signs(images, draws, seed, CHUNK):
        sums = (signs @ parts.reshape(images, -1)).reshape(len(signs), *parts.shape[1:])
        for some, limit, count in zip(blocks, limits, counts, strict=True):
            count += (np.abs(sums[:, some[:, 0]] - sums[:, some[:, 1]]) >= limit).sum(axis=0)
    count = np.concatenate(counts)
    p: Array = count / max(1, 2 ** (images - 1)) if exact else (1 + count) / (1 + draws)
    return p


def _limit(gap: Array) -> Array:
    """What a sum of signed parts ``[C, ...]`` must reach: sums that are equal on paper count as equal, whatever the
    order in which they were added."""
    limit: Array = np.abs(gap.sum(axis=0)) - 1e-9 * np.abs(gap).sum(axis=0)
    return limit


def _every_sign(images: int, chunk: int) -> Iterator[Array]:
    """``[<= chunk, C]`` of -1 and 1: every pattern once, but for the sign of the whole."""
    patterns = max(1, 2 ** (images - 1))
    for start in range(0, patterns, chunk):
        numbers = np.arange(start, min(start + chunk, patterns))
        yield _signs(numbers[:, None] >> np.arange(images) & 1)


def _random_signs(images: int, draws: int, seed: int, chunk: int) -> Iterator[Array]:
    """The same at random. Each pattern takes whole words of the stream, so the chunk decides nothing."""
    random = np.random.default_rng(seed)
    words = -(-images // 64)
    for start in range(0, draws, chunk):
        rows = min(chunk, draws - start)
        bits = random.integers(0, 2**64, size=(rows, words), dtype=np.uint64).astype("<u8").view(np.uint8)
        yield _signs(np.unpackbits(bits, axis=1)[:, :images])


def _signs(bits: NDArray[Any]) -> Array:
    return np.subtract(1.0, 2.0 * bits, dtype=np.float64)


def bootstrap(hits: ArrayLike, queries: ArrayLike, draws: int = DRAWS, seed: int = 0, chunk: int = CHUNK) -> Array:
    """Shares of hits ``[draws, M]`` in test sets made of as many images, drawn with replacement.

    An image is drawn with all its queries, so an image with more captions weighs more, as in the test set itself.

    Args:
        hits: ``[C, M]``: hits of each image, or differences of hits; or ``[C, R, M]`` of R rows, for ``[draws, R, M]``.
        queries: ``[C, M]``: queries of each image.
        draws: test sets.
        seed: of the drawing.
        chunk: test sets at a time.
    """
    hits, queries = np.asarray(hits, dtype=np.float64), np.asarray(queries, dtype=np.float64)
    images, random = len(hits), np.random.default_rng(seed)
    shares = []
    for start in range(0, draws, chunk):
        rows = min(chunk, draws - start)
        drawn = random.integers(0, images, size=(rows, images)) + images * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images).astype(np.float64)
        found = (times @ hits.reshape(images, -1)).reshape(rows, *hits.shape[1:])
        shares.append(found / (times @ queries).reshape(rows, *(1,) * (hits.ndim - 2), -1))
    return np.concatenate(shares)


def interval(samples: Array, level: float = LEVEL) -> tuple[Array, Array]:
    """Percentile interval of the columns of bootstrap samples ``[draws, M]``: lower and upper end, ``[M]`` each."""
    tail = (1 - level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    return low, high


# --- Trainings and images drawn anew ----------------------------------------------------------------------------


def both(parts: ArrayLike) -> Array | None:
    """Two-sided p ``[M]`` that a mean difference is 0 over other trainings *and* other images; None of too few seeds.

    A mixed model: difference = mean + seed + image + rest, the last three drawn at random. With M the mean square of
    each, the variance of the mean over S seeds and C images is ``(M_seed + M_image - M_rest) / (S C)``. The first part
    has S - 1 degrees of freedom, what images add to it (not below 0) C - 1. |t| is held against Cochran's mean of the
    two Student quantiles, weighted by their parts of the variance. Satterthwaite's degrees of freedom, more usual, err
    eight times as often as they say at the small p that Holm's correction asks for (docs/statistics.md).

    Source: W. G. Cochran, Approximate significance levels of the Behrens-Fisher test, Biometrics 20, 1964.

    Args:
        parts: ``[S, C, M]``: what each image adds to each difference in each of ``T_SEEDS`` trainings or more. The p
            of a column depends on that column alone.
    """
    parts = np.asarray(parts, dtype=np.float64)
    seeds, images = parts.shape[:2]
    if seeds < T_SEEDS or images < 2:
        return None
    of_seed, of_image = parts.mean(axis=1, keepdims=True), parts.mean(axis=0, keepdims=True)
    mean = of_image.mean(axis=1, keepdims=True)
    rest = ((parts - of_seed - of_image + mean) ** 2).sum(axis=(0, 1)) / ((seeds - 1) * (images - 1))
    from_seeds = images * of_seed[:, 0].var(axis=0, ddof=1)
    from_images = np.maximum(seeds * of_image[0].var(axis=0, ddof=1) - rest, 0)
    return _cochran(mean[0, 0] * (seeds * images) ** 0.5, (from_seeds, from_images), (seeds - 1, images - 1))


def _cochran(value: Array, variances: tuple[Array, Array], freedom: tuple[int, int]) -> Array:
    """Two-sided p of a value whose variance is a sum of two estimates; by bisection, as the quantile has no inverse."""
    from scipy.special import stdtrit  # here, so that what needs no test does not load it

    whole = np.maximum(variances[0] + variances[1], 1e-300)  # 0 where every training and image says the very same
    t, shares = np.abs(value) / whole**0.5, (variances[0] / whole, variances[1] / whole)
    low, high = np.full(len(value), np.log(LEAST_P)), np.zeros(len(value))
    for _ in range(50):
        middle = (low + high) / 2
        one, other = (-stdtrit(degrees, np.exp(middle) / 2) for degrees in freedom)
        beyond = t > shares[0] * one + shares[1] * other
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    p: Array = np.exp(high)
    return p


def holm(p: ArrayLike) -> Array:
    """Holm's correction of all p values of a family: below alpha, it errs anywhere with a chance of at most alpha.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    values = np.asarray(p, dtype=np.float64)
    order = values.argsort(kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


# --- Over seeds: one value per training -------------------------------------------------------------------------


def paired_t(a: ArrayLike, b: ArrayLike) -> float | None:
    """Two-sided p of the paired t-test over ``T_SEEDS`` seeds or more; None where it cannot say anything."""
    difference = np.subtract(a, b)
    if len(difference) < T_SEEDS or np.ptp(difference) <= 1e-9:
        return None
    from scipy.special import stdtr  # here, so that what needs no test does not load it; scipy.stats takes a second

    n = len(difference)
    t = float(difference.mean() / difference.std(ddof=1)) * n**0.5
    return float(2 * stdtr(n - 1, -abs(t)))


def t_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float] | tuple[None, None]:
    """Student's interval of a mean over seeds; None of fewer than two."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return None, None
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, (1 + level) / 2) * values.std(ddof=1) / len(values) ** 0.5)
    return float(values.mean()) - half, float(values.mean()) + half


def paired_wilcoxon(a: ArrayLike, b: ArrayLike) -> float | None:
    """Two-sided p of the signed-rank test over ``WILCOXON_SEEDS`` differences or more that are not 0; else None."""
    difference = np.round(np.subtract(a, b), 9)
    difference = difference[difference != 0]
    if len(difference) < WILCOXON_SEEDS:
        return None
    from scipy.stats import wilcoxon

    return float(wilcoxon(difference).pvalue)


def standardised(a: ArrayLike, b: ArrayLike) -> float | None:
    """The difference of the means in pooled sample deviations over seeds (Cohen's d); None where there is none."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if len(a) < 2 or len(b) < 2:
        return None
    pooled = float(np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2))
    return float(a.mean() - b.mean()) / pooled if pooled > 1e-9 else None
