"""What is known of the pairs of a split beyond its labels: the truth of every pair, or what people judged."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negbench.pipelines.judgements import POSITIVE, verdicts
from negbench.pipelines.rows import Indices
from negbench.pipelines.truth import Truth

Codes = NDArray[np.int8]

MATCH, NO_MATCH, UNKNOWN = 1, 0, -1


class KnownPairs(ABC):
    """Says of pairs whether they match. Images and captions are rows of one split."""

    one_sided = False
    """Whether only matches are known: every share of matches among known pairs is 1 then, and says nothing."""

    @abstractmethod
    def block(self, images: Indices, captions: Indices) -> Codes:
        """``[I, C]``: ``MATCH``, ``NO_MATCH`` or ``UNKNOWN`` of every image with every caption."""


class Exact(KnownPairs):
    """The truth of every pair. Memory: a byte for each."""

    def __init__(self, truth: Truth, image_rows: Indices, caption_rows: Indices) -> None:
        """``image_rows [I]`` and ``caption_rows [C]``: rows in the manifest of the split's images and captions."""
        self._codes = truth.matrix(image_rows, caption_rows).view(np.int8)

    def block(self, images: Indices, captions: Indices) -> Codes:
        return self._codes[images[:, None], captions]


def exact(truth: Truth | None, image_rows: Indices, caption_rows: Indices) -> KnownPairs | None:
    """The truth of a split's pairs, where it is known."""
    return None if truth is None else Exact(truth, image_rows, caption_rows)


class Judged(KnownPairs):
    """Some pairs, judged. Memory: a byte for each judged image with each judged caption."""

    def __init__(self, images: Indices, captions: Indices, match: NDArray[np.bool_]) -> None:
        """The pairs ``(images[k], captions[k])`` and whether they match: ``[P]`` each."""
        self._images, image = np.unique(images, return_inverse=True)
        self._captions, caption = np.unique(captions, return_inverse=True)
        # one more row and column for what nobody judged
        self._codes = np.full((len(self._images) + 1, len(self._captions) + 1), UNKNOWN, dtype=np.int8)
        self._codes[image, caption] = match
        self.one_sided = bool(match.all())

    def block(self, images: Indices, captions: Indices) -> Codes:
        return self._codes[_places(self._images, images)[:, None], _places(self._captions, captions)]

    @classmethod
    def of(
        cls,
        judgements: pd.DataFrame,
        image_ids: Sequence[str],
        caption_ids: Sequence[str],
        positive: Mapping[str, float] = POSITIVE,
    ) -> "Judged | None":
        """From a manifest's ``judgements``; None where no pair of these images and captions is judged.

        Args:
            judgements: ``image_id, caption_id, match, source``; pairs outside the split are left out.
            image_ids: of the split, in the order of its rows.
            caption_ids: likewise.
            positive: per source the ``match`` from which a pair matches; 0.5 for one that is not named.
        """
        pairs = verdicts(judgements, positive)
        image = pairs["image_id"].map(dict(zip(image_ids, range(len(image_ids)), strict=True)))
        caption = pairs["caption_id"].map(dict(zip(caption_ids, range(len(caption_ids)), strict=True)))
        here = (image.notna() & caption.notna()).to_numpy()
        if not here.any():
            return None
        match: NDArray[np.bool_] = pairs["positive"].to_numpy(dtype=bool)[here]
        return cls(np.array(image[here], dtype=np.int64), np.array(caption[here], dtype=np.int64), match)


def _places(known: Indices, rows: Indices) -> Indices:
    """Place in the sorted ``known`` of each of ``rows``; one past the end for those that are not there."""
    place = np.searchsorted(known, rows)
    found = known[place.clip(max=len(known) - 1)] == rows
    return np.where(found, place, len(known))
