"""The audit of a trained cell on the test split: what it pushes, suspects, and puts in order. See ``docs/audit.md``."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from negbench.benchmark.audit.asking import Examination
from negbench.benchmark.audit.pushes import Found, audit
from negbench.benchmark.evaluation.detection import average_precision, calibration, roc_auc
from negbench.benchmark.evaluation.gallery import Gallery
from negbench.benchmark.evaluation.known_pairs import KnownPairs
from negbench.benchmark.evaluation.order import order_accuracy
from negbench.benchmark.evaluation.similarities import histograms
from negbench.methods.base import Method


@dataclass(frozen=True)
class Audited:
    """What an audit found."""

    figures: dict[str, float]
    """Shares and areas in [0, 1], their intervals and sizes."""
    arrays: dict[str, Any]
    """Histograms ``test_<kind> [200]`` and calibration curves ``calibration_<direction> [10, 3]``."""


def audit_test(
    method: Method, examination: Examination, known_pairs: KnownPairs | None, start: Gallery | None
) -> Audited:
    """The audit of a trained method; histograms only where nothing is known of the pairs, or of matches alone.

    ``start``: the same split as the model saw it from which the method set out; None where the warm-up was all.
    """
    gallery = examination.gallery
    counts = histograms(gallery, examination.batch, examination.seed, known_pairs)
    arrays: dict[str, Any] = {f"test_{name}": count for name, count in counts.items()}
    if known_pairs is None or known_pairs.one_sided:
        return Audited({}, arrays)
    figures: dict[str, float] = {}
    for direction, found in audit(method, examination, known_pairs).items():
        figures |= found.shares(direction)
        detected, curve = detection(found, direction)
        figures |= detected
        arrays |= {f"calibration_{direction}": curve} if curve is not None else {}
    figures |= order_accuracy(gallery, known_pairs)
    if start is not None:
        before = order_accuracy(start, known_pairs)
        figures |= {f"order_{way}_start": before[f"order_{way}"] for way in ("i2t", "t2i") if f"order_{way}" in before}
    return Audited(figures, arrays)


def detection(found: Found, direction: str) -> tuple[dict[str, float], Any]:
    """How well similarity, and what the method suspects, tell known matches from the rest; and the calibration."""
    similarity, suspicion, labels = found.pairs()
    if labels.all() or not labels.any():
        return {}, None
    scores = {"similarity": similarity, "suspicion": suspicion}
    figures = {f"detect_{direction}_pairs": float(len(labels)), f"detect_{direction}_matches": float(labels.sum())}
    for name, values in scores.items():
        if not np.isnan(values).any():
            figures[f"{name}_{direction}_auc"] = roc_auc(values, labels)
            figures[f"{name}_{direction}_ap"] = average_precision(values, labels)
    return figures, None if np.isnan(suspicion).any() else calibration(suspicion, labels)
