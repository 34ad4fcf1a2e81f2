"""Recalls and ranks of a test, and what chance would score."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from negbench.benchmark.evaluation.ranks import Ranks

CUTOFFS = (1, 5, 10)
COLLAPSED = 0.02
"""A model whose positives are no more than this above the average pair has collapsed."""


def metrics(ranks: "Ranks", cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
    """``measures`` of the ranks of a test."""
    return measures(ranks.i2t.double().cpu().numpy(), ranks.t2i.double().cpu().numpy(), cutoffs)


def measures(i2t: NDArray[Any], t2i: NDArray[Any], cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
    """Recalls in percent, median and mean position, for both directions, ``rsum`` and ``mr``, of ``[Q]`` positions.

    Keys: ``i2t_r1 i2t_r5 i2t_r10 i2t_medr i2t_meanr``, the same for ``t2i``, and, whatever the cutoffs, ``rsum``,
    the sum of the six recalls at 1, 5 and 10 (at most 600), and ``mr``, their mean. Nothing is rounded. The best
    position is 1; the median of an even number of queries is the mean of the two in the middle.

    A recall at more than the gallery holds says nothing: ``check_cutoffs`` refuses it.
    """
    result: dict[str, float] = {}
    total = 0.0
    for direction, found in (("i2t", i2t), ("t2i", t2i)):
        positions = found.astype(np.float64)
        recalls = {k: 100 * float((positions <= k).mean()) for k in (*cutoffs, *CUTOFFS)}
        result |= {f"{direction}_r{k}": recalls[k] for k in cutoffs}
        result[f"{direction}_medr"] = float(np.median(positions))
        result[f"{direction}_meanr"] = float(positions.mean())
        total += sum(recalls[k] for k in CUTOFFS)
    return result | {"rsum": total, "mr": total / (2 * len(CUTOFFS))}


def check_cutoffs(cutoffs: Sequence[int], images: int, captions: int) -> None:
    """``ValueError`` where a recall's K is no position of both galleries."""
    for cutoff in cutoffs:
        if cutoff < 1:
            raise ValueError(f"R@{cutoff}: K counts from 1")
        for size, what in ((images, "images"), (captions, "captions")):
            if cutoff > size:
                raise ValueError(f"R@{cutoff} needs a gallery of at least {cutoff} {what}; this one has {size}")


def chance_rsum(caption_image: "Tensor", images: int) -> float:
    """Expected ``rsum`` of galleries in random order.

    A caption finds its image among the first K of ``images`` with probability K / I. An image with n captions
    finds one of them among the first K of C unless all K are others: 1 - prod_{j<K} (C - n - j) / (C - j).

    Args:
        caption_image: ``[C]``: the row of each caption's image.
        images: number of images in the gallery of the captions.
    """
    own = caption_image.long().bincount().double()
    own = own[own > 0]
    captions = len(caption_image)
    total = 0.0
    for cutoff in CUTOFFS:
        missed = own.new_ones(len(own))
        for drawn in range(min(cutoff, captions)):
            missed *= (captions - own - drawn).clamp(min=0) / (captions - drawn)
        total += float(1 - missed.mean()) + min(1.0, cutoff / images)
    return 100 * total
