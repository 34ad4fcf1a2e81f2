"""How well a score tells matching pairs from others: area under the ROC curve, average precision, calibration."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Labels = NDArray[np.bool_]

BINS = 10


def roc_auc(scores: Scores, labels: Labels) -> float:
    """Probability that a matching pair scores above one that does not match; a tie counts one half.

    ``scores`` and ``labels`` are ``[P]``. NaN where one of the two kinds is missing.
    """
    positives, negatives = np.sort(scores[labels]), np.sort(scores[~labels])
    if not len(positives) or not len(negatives):
        return float("nan")
    return float(pairs_in_order(positives, negatives) / (len(positives) * len(negatives)))


def pairs_in_order(positives: Scores, negatives: Scores) -> float:
    """How many pairs of a positive and a negative have the positive above, a tie counting one half.

    ``negatives`` are sorted.
    """
    below, not_above = (np.searchsorted(negatives, positives, side=side) for side in ("left", "right"))
    return float((below + not_above).sum()) / 2


def average_precision(scores: Scores, labels: Labels) -> float:
    """``sum (R_k - R_{k-1}) P_k`` over the distinct scores as thresholds, from the highest; equal ones fall together.

    ``scores`` and ``labels`` are ``[P]``. NaN where nothing matches.
    """
    if not labels.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], labels[order].cumsum()
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # of each run of equal scores
    found = hits[last]
    return float((np.diff(found, prepend=0) * found / (last + 1)).sum() / found[-1])


def calibration(scores: Scores, labels: Labels) -> NDArray[np.float64]:
    """``[10, 3]``: per bin of ``scores`` in [0, 1] their mean, the share that matches, how many; NaN where empty."""
    place = (np.asarray(scores, dtype=np.float64) * BINS).astype(np.int64).clip(0, BINS - 1)
    count = np.bincount(place, minlength=BINS).astype(np.float64)
    some = np.where(count > 0, count, np.nan)
    mean = np.bincount(place, weights=scores, minlength=BINS) / some
    share = np.bincount(place, weights=labels, minlength=BINS) / some
    return np.stack([mean, share, count], axis=1)
