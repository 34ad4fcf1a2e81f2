"""Recall under true positives, where the truth of every pair is known: finding any true candidate counts."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.evaluation.metrics import CUTOFFS
from benchmark.evaluation.ranks import BLOCK, TILE, Grid, Ranks, check, padded
from pipelines.truth import Truth

Rows = NDArray[np.int64]


def true_recall(found: Ranks) -> dict[str, float]:
    """``true_i2t_r1 true_i2t_r5 true_i2t_r10``, the same for ``t2i``, in percent, and ``true_rsum``, their sum."""
    result = {
        f"true_{direction}_r{cutoff}": 100 * float((positions <= cutoff).double().mean())
        for direction, positions in (("i2t", found.i2t), ("t2i", found.t2i))
        for cutoff in CUTOFFS
    }
    return result | {"true_rsum": sum(result.values())}


@torch.no_grad()
def true_ranks(
    images: Tensor,
    captions: Tensor,
    caption_image: Tensor,
    image_rows: Rows,
    caption_rows: Rows,
    truth: Truth,
    block: int = BLOCK,
) -> Ranks:
    """Position of the best true candidate of every image that has a caption, and of every caption.

    A position is 1 + the candidates that are not true and more similar than the best true one + half of those
    exactly as similar. Queries and similarities are those of :func:`benchmark.evaluation.ranks.ranks`, bit for bit;
    where nothing but the labelled pairs is true, so are the positions.

    Memory beside the features: some matrices of ``block`` queries by all candidates.

    Args:
        images: ``[I, D]``
        captions: ``[C, D]``
        caption_image: ``[C]``: the row in ``images`` of each caption's image, of which it is always true.
        image_rows: ``[I]``: rows of the images in the manifest, by which ``truth`` knows them.
        caption_rows: ``[C]``: the same of the captions.
        truth: of every pair of the manifest.
        block: queries at a time, rounded up to a multiple of 64.

    Raises:
        ValueError: shapes that do not fit, a row outside ``images``, values that are not finite.
    """
    check(images, captions, caption_image)
    if len(image_rows) != len(images) or len(caption_rows) != len(captions):
        raise ValueError(f"{len(image_rows)} and {len(caption_rows)} rows for {len(images)} and {len(captions)} items")
    side = -(-block // TILE) * TILE
    device = images.device
    every = [torch.arange(len(items), device=device) for items in (images, captions)]
    grid = Grid(padded(images, every[0], side), padded(captions, every[1], side), len(images), len(captions))
    i2t, t2i = [], []
    for rows, similarity in stripes(grid):
        true = torch.from_numpy(truth.matrix(image_rows[rows], caption_rows)).to(device)
        i2t.append(positions(similarity, true | (every[0][rows, None] == caption_image)))
    for columns, similarity in stripes(grid, of_captions=True):
        true = torch.from_numpy(truth.matrix(image_rows, caption_rows[columns])).to(device)
        t2i.append(positions(similarity, (true | (every[0][:, None] == caption_image[columns])).T))
    queries = caption_image.long().bincount(minlength=len(images)) > 0
    return Ranks(torch.cat(i2t)[queries], torch.cat(t2i))


def stripes(grid: Grid, of_captions: bool = False) -> Iterator[tuple[slice, Tensor]]:
    """Queries, images or captions, a block at a time: which ones, and their ``[Q, N]`` similarities to all others."""
    side, height, width = grid.images.shape[1], len(grid.images), len(grid.captions)
    for query in range(width if of_captions else height):
        pairs = [(other, query) if of_captions else (query, other) for other in range(height if of_captions else width)]
        parts = [grid.product(*pair, out=grid.images.new_empty(side, side)) for pair in pairs]
        stripe = torch.cat([part.T for part in parts] if of_captions else parts, dim=1)
        yield slice(query * side, query * side + len(stripe)), stripe


def positions(similarity: Tensor, true: Tensor) -> Tensor:
    """Mid-rank position ``[Q]`` of the best true candidate, from ``similarity`` and ``true``, ``[Q, N]`` each.

    Of no meaning for a query of which nothing is true.
    """
    best = similarity.masked_fill(~true, -torch.inf).amax(dim=1, keepdim=True)
    above = (~true & (similarity > best)).sum(dim=1)
    tied = (~true & (similarity == best)).sum(dim=1)
    return 1 + above + tied.float() / 2
