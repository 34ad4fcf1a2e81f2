"""The audit of a trained cell on the test split: what it pushes, suspects, and puts in order. See ``docs/audit.md``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from negbench.benchmark.audit.pushes import Found, Gallery, audit
from negbench.benchmark.evaluation.detection import average_precision, calibration, roc_auc
from negbench.benchmark.evaluation.known_pairs import Relation
from negbench.benchmark.evaluation.order import order_accuracy
from negbench.benchmark.recipe.schema import RunConfig

if TYPE_CHECKING:
    from negbench.benchmark.training.loop import SplitTensors, Trained


@dataclass(frozen=True)
class Audited:
    """What an audit found."""

    figures: dict[str, float]
    """Shares and areas in [0, 1], their intervals and sizes."""
    arrays: dict[str, Any]
    """Histograms ``test_<kind> [200]`` and calibration curves ``calibration_<direction> [10, 3]``."""


def audit_test(config: RunConfig, trained: "Trained", split: "SplitTensors", relation: Relation | None) -> Audited:
    """The audit of a trained cell; histograms only where nothing is known of the pairs."""
    extras_of = trained.extras_of.of(split)
    gallery = Gallery.of(config, extras_of, "test")
    histograms = {f"test_{name}": counts for name, counts in gallery.histograms(relation).items()}
    if relation is None:
        return Audited({}, histograms)
    figures: dict[str, float] = {}
    curves: dict[str, Any] = {}
    for direction, found in audit(trained.method, gallery, relation).items():
        figures |= found.shares(direction)
        detected, curve = detection(found, direction)
        figures |= detected
        curves |= {f"calibration_{direction}": curve} if curve is not None else {}
    figures |= order_accuracy(gallery.images, gallery.captions, split.caption_image, relation)
    figures |= order_at_start(trained, split, relation)
    return Audited(figures, histograms | curves)


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


def order_at_start(trained: "Trained", split: "SplitTensors", relation: Relation) -> dict[str, float]:
    """``order_i2t_start`` and ``order_t2i_start``: order accuracy of the model from which the method set out."""
    if trained.start is None:
        return {}
    images, captions = split.encode(trained.start)
    found = order_accuracy(images, captions, split.caption_image, relation)
    return {f"order_{way}_start": found[f"order_{way}"] for way in ("i2t", "t2i") if f"order_{way}" in found}
