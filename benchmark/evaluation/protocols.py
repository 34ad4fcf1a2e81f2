"""What test numbers are measured on. Numbers of two protocols never share a column."""

import statistics
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import Tensor

    from negbench.benchmark.evaluation.ranks import Scores


class Protocol(BaseModel):
    """What the test numbers were measured on. Numbers of two protocols never share a column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    images: int
    """In each gallery."""
    captions: int
    """In each gallery."""
    folds: int = 1
    """Galleries that every metric is averaged over."""


class Measured(BaseModel):
    """The same test under another protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: Protocol
    metrics: dict[str, float]


PROTOCOLS = {
    "f8k": (Protocol(name="f8k-1k", images=1000, captions=5000),),
    "f30k": (Protocol(name="f30k-1k", images=1000, captions=5000),),
    "coco": (
        Protocol(name="coco-5k", images=5000, captions=25000),
        Protocol(name="coco-1k-5fold", images=1000, captions=5000, folds=5),
        Protocol(name="coco-1k-first", images=1000, captions=5000),
    ),
    "f30k-entities": (Protocol(name="f30k-entities-1k", images=1000, captions=5000),),
    "stamps": (Protocol(name="stamps", images=72, captions=72),),
    "scenes": (Protocol(name="scenes", images=500, captions=2500),),
}
"""Dataset to the protocols papers use for it. The first is the whole test split, every caption a query; the others
are made of the first ``folds`` blocks of ``images`` images in the order of the file, with their captions."""


def protocols_for(dataset: str, images: int, captions: int) -> tuple[Protocol, ...]:
    """The protocols of a test split of this size, the one of the whole split first.

    A dataset that is not known gives its own name. A known one whose galleries have other sizes than its
    protocol says gives ``<protocol>-custom``: its numbers must not be taken for the published kind.
    """
    known = PROTOCOLS.get(dataset)
    if known is None:
        return (Protocol(name=dataset, images=images, captions=captions),)
    if (known[0].images, known[0].captions) == (images, captions):
        return known
    return (Protocol(name=f"{known[0].name}-custom", images=images, captions=captions),)


def measure(protocol: Protocol, images: "Tensor", captions: "Tensor", caption_image: "Tensor") -> Measured:
    """Metrics under a protocol: each is averaged over its folds, which are galleries of their own.

    Args:
        protocol: of this test split.
        images: ``[I, D]`` features of the whole split, in the order of the file.
        captions: ``[C, D]``
        caption_image: ``[C]``: the row of each caption's image.

    Raises:
        ValueError: a fold that is not of the protocol's size.
    """
    from negbench.benchmark.evaluation.ranks import Products

    return measure_scores(protocol, Products(images, captions), caption_image)


def measure_scores(protocol: Protocol, scores: "Scores", caption_image: "Tensor") -> Measured:
    """``measure`` of any similarities, of products or not."""
    from negbench.benchmark.evaluation.metrics import (
        metrics,  # here: who only asks for protocols loads no numpy and no torch
    )
    from negbench.benchmark.evaluation.ranks import ranked

    folds = []
    for number in range(protocol.folds):
        first = number * protocol.images
        own = ((caption_image >= first) & (caption_image < first + protocol.images)).nonzero().squeeze(1)
        fold = scores.part(slice(first, first + protocol.images), own)
        if fold.shape != (protocol.images, protocol.captions):
            raise ValueError(
                f"{protocol.name}: fold {number + 1} has {fold.shape[0]:,} images and {fold.shape[1]:,} captions,"
                f" not {protocol.images:,} and {protocol.captions:,}"
            )
        folds.append(metrics(ranked(fold, caption_image[own] - first)))
    mean = {name: statistics.fmean(fold[name] for fold in folds) for name in folds[0]}
    return Measured(protocol=protocol, metrics=mean)
