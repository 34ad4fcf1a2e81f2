"""A share with its confidence interval, where what is counted comes in clusters, of one kind or of two."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.rows import Indices

QUANTILE = 1.959963984540054
"""Of the normal distribution, for 95 %."""
Values = NDArray[np.floating]


def share(part: Values, whole: Values, *clusters: Indices) -> dict[str, float]:
    """``sum part / sum whole`` as ``""``, and its 95 % interval, ``_low`` and ``_high``; nothing where whole is 0.

    Wilson's interval with the number of independent observations that would give the same variance, and Student's
    quantile in place of the normal one. The variance is that of a ratio of sums over clusters (linearised),
    ``G / (G - 1) sum_g e_g^2 / (sum whole)^2`` with ``e_g = part_g - share whole_g``, so that picks of one image are
    not taken for independent ones. With two kinds of clusters, say anchors and candidates, it is that of the one plus
    that of the other less that of their intersections (A. C. Cameron, J. B. Gelbach, D. L. Miller, Robust inference
    with multiway clustering, 2011). Such a sum can fall below either, even below 0; then the larger of the two stands.

    A few clusters may hold most of the variance: hubs. The quantile's degrees of freedom are ``(sum e_g^2)^2 / sum
    e_g^4``, how many clusters the variance in effect comes from, the fewer of the two kinds. Where the share is 0 or 1
    no variance can be seen: then every cluster of the kind with the fewer counts once.

    Args:
        part: ``[n]``, at least 0; what is counted of each item.
        whole: ``[n]``, at least ``part``; out of how much. Its unit has no effect.
        clusters: one or two times ``[n]`` whole numbers from 0.
    """
    total = float(whole.sum())
    if total == 0:
        return {}
    found = float(part.sum()) / total
    rest = part - found * whole
    kinds = [_clustered(rest, whole, cluster) for cluster in clusters]
    groups, freedom = min(kind.groups for kind in kinds), min(kind.freedom for kind in kinds)
    variances = [kind.variance for kind in kinds]
    if len(clusters) == 2:
        cells = clusters[0] * (int(clusters[1].max()) + 1) + clusters[1]
        both = _clustered(rest, whole, np.unique(cells, return_inverse=True)[1])
        variances.append(sum(variances) - both.variance)
    variance = max(variances) / total**2
    if variance <= 1e-24 or found in (0.0, 1.0):
        low, high = wilson(found, groups)
    else:
        low, high = wilson(found, found * (1 - found) / variance, _quantile(freedom))
    return {"": found, "_low": low, "_high": high}


class _Clustered(NamedTuple):
    """What one kind of clusters says."""

    groups: int
    variance: float
    """Of the sum."""
    freedom: float
    """From how many clusters it in effect comes; no fewer than two, or there is no deviation."""


def _clustered(rest: Values, whole: Values, cluster: Indices) -> _Clustered:
    squares = np.bincount(cluster, weights=rest) ** 2
    groups = int((np.bincount(cluster, weights=whole) > 0).sum())
    total, fourth = float(squares.sum()), float((squares**2).sum())
    freedom = max(2.0, total**2 / fourth) if fourth > 0 else 2.0
    return _Clustered(groups, total * groups / max(groups - 1, 1), freedom)


def _quantile(freedom: float) -> float:
    """Of Student's distribution, for 95 %."""
    from scipy.special import stdtrit  # here, so that what needs no test does not load it

    return float(stdtrit(freedom, 0.975))


def wilson(found: float, items: float, quantile: float = QUANTILE) -> tuple[float, float]:
    """Wilson's interval of a share ``found`` among ``items`` independent observations (need not be whole)."""
    square = quantile**2
    centre = (found + square / (2 * items)) / (1 + square / items)
    half = quantile / (1 + square / items) * math.sqrt(found * (1 - found) / items + square / (4 * items**2))
    return max(0.0, min(found, centre - half)), min(1.0, max(found, centre + half))  # beyond rounding
