"""A split as a trained model sees it: encoded once, then handed to whatever measures it."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from negbench.benchmark.evaluation.ranks import Products, Scores


@dataclass(frozen=True)
class Gallery:
    """Images and captions of a split in the joint space, in the order of the split."""

    images: Tensor
    """``[I, D]``"""
    captions: Tensor
    """``[C, D]``"""
    caption_image: Tensor
    """``[C]``: the row of each caption's image."""
    image_rows: Tensor
    """``[I]``: rows in the manifest, by which methods tell images apart."""
    caption_rows: Tensor
    """``[C]``: likewise."""
    image_ids: Sequence[str]
    caption_ids: Sequence[str]

    @property
    def scores(self) -> Scores:
        """Similarities of all pairs."""
        return Products(self.images, self.captions)


@dataclass(frozen=True)
class ScoredSplit:
    """A split of which the similarities are all that is known."""

    scores: Scores
    caption_image: Tensor
    """``[C]``: the row of each caption's image."""
    image_ids: Sequence[str]
    caption_ids: Sequence[str]


Tested = Gallery | ScoredSplit
"""What can be measured."""
