"""A share with its confidence interval, where what is counted comes in clusters."""

import math

import numpy as np
from numpy.typing import NDArray

QUANTILE = 1.959963984540054
"""Of the normal distribution, for 95 %."""


def share(part: NDArray[np.floating], whole: NDArray[np.floating], cluster: NDArray[np.int64]) -> dict[str, float]:
    """``sum part / sum whole`` as ``""``, and its 95 % interval, ``_low`` and ``_high``; nothing where whole is 0.

    Wilson's interval with the number of independent observations that would give the same variance. The variance is
    that of a ratio of sums over clusters (linearised), ``G / (G - 1) sum_g (part_g - share whole_g)^2 / (sum
    whole)^2``, so that picks of one image are not taken for independent ones. Where the share is 0 or 1 no variance
    can be seen: then every cluster counts once.

    Args:
        part: ``[n]``, at least 0; what is counted of each item.
        whole: ``[n]``, at least ``part``; out of how much.
        cluster: ``[n]`` whole numbers from 0.
    """
    total = float(whole.sum())
    if total == 0:
        return {}
    found = float(part.sum()) / total
    parts, wholes = np.bincount(cluster, weights=part), np.bincount(cluster, weights=whole)
    groups = int((wholes > 0).sum())
    spread = float(((parts - found * wholes) ** 2).sum()) / total**2 * groups / max(groups - 1, 1)
    independent = found * (1 - found) / spread if spread > 0 else math.inf
    items = groups if independent == math.inf else independent
    low, high = wilson(found, min(items, total))
    return {"": found, "_low": low, "_high": high}


def wilson(found: float, items: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share ``found`` among ``items`` independent observations (need not be whole)."""
    square = QUANTILE**2
    centre = (found + square / (2 * items)) / (1 + square / items)
    half = QUANTILE / (1 + square / items) * math.sqrt(found * (1 - found) / items + square / (4 * items**2))
    return max(0.0, min(found, centre - half)), min(1.0, max(found, centre + half))  # beyond rounding
