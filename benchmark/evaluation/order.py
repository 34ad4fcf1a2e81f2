"""Whether matching pairs that nobody labelled stand above pairs that do not match: pairwise order accuracy."""

import numpy as np
import torch
from numpy.typing import NDArray

from negbench.benchmark.evaluation.detection import pairs_in_order
from negbench.benchmark.evaluation.gallery import Gallery
from negbench.benchmark.evaluation.known_pairs import MATCH, NO_MATCH, UNKNOWN, KnownPairs
from negbench.benchmark.evaluation.shares import share

BLOCK = 1024
"""Anchors at a time."""


def order_accuracy(gallery: Gallery, known_pairs: KnownPairs) -> dict[str, float]:
    """Share of pairs of candidates in the right order, over the anchors that have one of either kind.

    An anchor's candidates that match it beyond its labels are held against those that do not match it. Keys per
    direction: ``order_i2t`` with ``_low`` and ``_high`` (95 %, anchors of one image together), ``_pairs``,
    ``_anchors``. Nothing for a direction without such an anchor.
    """
    images, captions, own = gallery.images, gallery.captions, gallery.caption_image.cpu().numpy()
    result: dict[str, float] = {}
    for direction, anchors, candidates in (("i2t", images, captions), ("t2i", captions, images)):
        right, pairs = [], []
        every = np.arange(len(candidates))
        for start in range(0, len(anchors), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(anchors)))
            similarity = torch.matmul(anchors[start : start + BLOCK], candidates.T).cpu().numpy()
            if direction == "i2t":
                codes = np.where(rows[:, None] == own, UNKNOWN, known_pairs.block(rows, every))
            else:
                codes = np.where(own[rows, None] == every, UNKNOWN, known_pairs.block(every, rows).T)
            for line, code in zip(similarity, codes, strict=True):
                counted = in_order(line, code)
                right.append(counted[0])
                pairs.append(counted[1])
        cluster = np.arange(len(images)) if direction == "i2t" else own
        whole = np.array(pairs, dtype=np.float64)
        found = share(np.array(right), whole, cluster)
        if found:
            found |= {"_pairs": float(whole.sum()), "_anchors": float((whole > 0).sum())}
        result |= {f"order_{direction}{suffix}": value for suffix, value in found.items()}
    return result


def in_order(similarity: NDArray[np.float32], codes: NDArray[np.int8]) -> tuple[float, int]:
    """Of one anchor with its candidates ``[N]``: pairs in the right order (a tie is half of one), and all pairs."""
    positives = similarity[codes == MATCH]
    if not len(positives):
        return 0.0, 0
    negatives = np.sort(similarity[codes == NO_MATCH])
    return pairs_in_order(positives, negatives), len(positives) * len(negatives)
