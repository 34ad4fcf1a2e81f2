"""Ranks of all queries of a gallery, in both directions, by counting over blocks of one product."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 512
TILE = 64
"""Blocks are multiples of this, so that no block has a ragged edge: see :func:`ranks`."""


class Ranks(NamedTuple):
    """1-based mid-rank positions, float32."""

    i2t: Tensor
    """``[I']``: of the best caption of each image that has one, in the order of the images
    (``caption_image.unique()`` gives their rows)."""
    t2i: Tensor
    """``[C]``: of each caption's image, in the order of the captions."""


@torch.no_grad()
def ranks(images: Tensor, captions: Tensor, caption_image: Tensor, block: int = BLOCK) -> Ranks:
    """Position of the positive among all candidates, for every image and for every caption.

    A position is 1 + the negatives more similar than the positive + half of the negatives exactly as similar
    (mid-rank). For an image the positive is the best of its own captions, and its other captions count
    neither as more similar nor as tied. A query is a hit at K when its position is at most K. So a collapsed
    model, all similarities equal, finds nothing: each query stands in the middle of its gallery. Only in a
    gallery with fewer than 2K candidates the middle lies within the first K, and every query is a hit.

    Ties are exact. Every similarity, the positive's too, is computed once, in a product of one fixed shape
    (blocks are padded; their sides are multiples of 64), because other shapes and ragged edges may sum in
    another order and end in other bits: the same pair of vectors has the same similarity wherever it stands.

    Memory beside the float32 copies of the features is ``(I + C) * block`` numbers, time that of one product.

    Args:
        images: ``[I, D]``, normalised if the cosine is meant; half precision is computed in float32.
        captions: ``[C, D]``
        caption_image: ``[C]`` integers: the row in ``images`` of each caption's image. Captions may stand in
            any order, and an image may have any number of them. One without captions is no query, but stands
            in the gallery of the captions.
        block: images and captions per product, rounded up to a multiple of 64. Changes no result, apart from
            the rounding of the product.

    Raises:
        ValueError: shapes that do not fit, a row outside ``images``, values that are not finite.
    """
    check(images, captions, caption_image)
    side = -(-block // TILE) * TILE
    owner, order = caption_image.long().sort(stable=True)
    rows = torch.arange(len(images), device=images.device)
    grid = Grid(padded(images, rows, side), padded(captions, order, side), len(images), len(captions))

    own = torch.empty(len(captions), device=images.device)
    stairs = {}
    for row, column in staircase(owner, side):
        values = grid.product(row, column, out=own.new_empty(side, side))
        stairs[row, column] = own_apart(values, own, owner, row * side, column * side)
    nothing = torch.full((len(images),), -torch.inf, device=images.device)
    best = nothing.scatter_reduce(0, owner, own, "amax")

    i2t, t2i = count(grid, stairs, best, own)
    return Ranks(i2t[best > -torch.inf].float(), torch.empty_like(t2i).index_copy_(0, order, t2i).float())


class Grid(NamedTuple):
    """The similarity matrix, never whole: blocks of one shape, without their padding."""

    images: Tensor
    """``[rows, side, D]``"""
    captions: Tensor
    """``[columns, side, D]``"""
    height: int
    width: int

    def product(self, row: int, column: int, out: Tensor) -> Tensor:
        """One block, at most ``[side, side]``, written to the buffer ``out [side, side]``."""
        side = self.images.shape[1]
        whole = torch.mm(self.images[row], self.captions[column].T, out=out)
        return whole[: self.height - row * side, : self.width - column * side]


def padded(features: Tensor, order: Tensor, side: int) -> Tensor:
    """``features[order]`` as float32 blocks ``[ceil(N / side), side, D]``, the last one filled up with zeros."""
    blocks = -(-len(features) // side)
    out = torch.zeros(blocks, side, features.shape[1], device=features.device)
    for block in range(blocks):
        rows = order[block * side : (block + 1) * side]
        out[block, : len(rows)] = features[rows]
    return out


def staircase(owner: Tensor, side: int) -> Iterator[tuple[int, int]]:
    """The blocks that hold positives. Captions are sorted by image, so there are few: at most rows + columns."""
    rows = (owner // side).tolist()
    for column in range(-(-len(rows) // side)):
        for row in sorted(set(rows[column * side : (column + 1) * side])):
            yield row, column


def own_apart(block: Tensor, own: Tensor, owner: Tensor, top: int, left: int) -> Tensor:
    """Move the positives of ``block`` into ``own [C]``; -inf takes their place, so they outrank nobody."""
    rows = owner[left : left + block.shape[1]] - top
    columns = ((rows >= 0) & (rows < block.shape[0])).nonzero().squeeze(1)
    rows = rows[columns]
    own[left + columns] = block[rows, columns]
    block[rows, columns] = -torch.inf
    return block


def count(grid: Grid, stairs: dict[tuple[int, int], Tensor], best: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Positions ``[I]`` and ``[C]`` (sorted captions), float64.

    With G greater, L less and T tied of N candidates, G - L is a sum of signs, and G + T / 2 = (N + G - L) / 2:
    one cheap pass over the block for each direction. Positives are -inf here and count as less.
    """
    side = grid.images.shape[1]
    i2t = torch.zeros(grid.height, dtype=torch.float64, device=best.device)
    t2i = torch.zeros(grid.width, dtype=torch.float64, device=best.device)
    buffer, signs = torch.empty(2, side, side, device=best.device)
    for row in range(len(grid.images)):
        rows = slice(row * side, (row + 1) * side)
        for column in range(len(grid.captions)):
            columns = slice(column * side, (column + 1) * side)
            block = stairs.get((row, column))
            if block is None:
                block = grid.product(row, column, out=buffer)
            sign = signs[: block.shape[0], : block.shape[1]]
            i2t[rows] += torch.sub(block, best[rows, None], out=sign).sign_().sum(dim=1)
            t2i[columns] += torch.sub(block, own[columns], out=sign).sign_().sum(dim=0)
    return 1 + (grid.width + i2t) / 2, 1 + (grid.height + t2i) / 2


def check(images: Tensor, captions: Tensor, caption_image: Tensor) -> None:
    """``ValueError`` where the arguments of :func:`ranks` do not fit."""
    if images.ndim != 2 or captions.ndim != 2 or images.shape[1] != captions.shape[1]:
        raise ValueError(f"images {list(images.shape)} and captions {list(captions.shape)} must be [I, D] and [C, D]")
    if caption_image.shape != captions.shape[:1]:
        raise ValueError(f"caption_image {list(caption_image.shape)} must name an image for {len(captions)} captions")
    if len(captions) == 0:
        raise ValueError("there are no captions to rank")
    low, high = int(caption_image.min()), int(caption_image.max())
    if low < 0 or high >= len(images):
        raise ValueError(f"caption_image holds rows {low} to {high}, but there are {len(images)} images")
    largest = float(images.shape[1])
    for name, features in (("images", images), ("captions", captions)):
        extremes = torch.stack(features.aminmax())  # NaN if there is any
        if not extremes.isfinite().all():
            raise ValueError(f"the {name}' features hold NaN or infinity")
        largest *= float(extremes.abs().max())
    if largest > torch.finfo(torch.float32).max:
        raise ValueError("the features are so large that their similarities may overflow; normalise them")
