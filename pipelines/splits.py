"""Which images and captions a split has, and which belong together: the order of all that is made of it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negbench.pipelines.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class SplitIndex:
    """The rows of one split, in the manifest's order."""

    caption_image: NDArray[np.int64]
    """``[C]``: the row, among the split's images, of each caption's image."""
    image_rows: NDArray[np.int64]
    """``[I]``: row of each image in the manifest's ``images`` table, an id over all splits."""
    caption_rows: NDArray[np.int64]
    """``[C]``: row of each caption in the manifest's ``captions`` table."""
    image_ids: list[str]
    caption_ids: list[str]
    room: int
    """The rows of the longer of the two tables: those of every split are below it."""


def index_of(images: pd.DataFrame, captions: pd.DataFrame, room: int) -> SplitIndex:
    """From the rows of both tables that are of one split, of ``room`` in all."""
    row_of = pd.Series(np.arange(len(images)), index=images["image_id"])
    return SplitIndex(
        caption_image=row_of.loc[captions["image_id"]].to_numpy(dtype=np.int64),
        image_rows=images.index.to_numpy(dtype=np.int64),
        caption_rows=captions.index.to_numpy(dtype=np.int64),
        image_ids=images["image_id"].tolist(),
        caption_ids=captions["caption_id"].tolist(),
        room=room,
    )


def split_of(manifest: Manifest, split: str) -> SplitIndex:
    """A split of a manifest, without any features."""
    images = manifest.images[manifest.images["split"] == split]
    captions = manifest.captions[manifest.captions["image_id"].isin(images["image_id"])]
    return index_of(images, captions, max(len(manifest.images), len(manifest.captions)))
