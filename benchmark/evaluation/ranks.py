"""Ranks of all queries of a gallery, in both directions, by counting over blocks of one product."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from negbench.methods.interface.inputs import check_tensors

BLOCK = 512
TILE = 64
"""Blocks are multiples of this, so that no block has a ragged edge: see :func:`ranks`."""

Ties = Literal["mid", "optimistic", "pessimistic", "reference"]
"""What a candidate exactly as similar as the positive counts: half, nothing, one, or one where it stands later in
the gallery. The last is the order of ``np.argsort(similarity)[::-1]`` in the code of VSE++ and its heirs with a
stable sort. numpy's default sort is not stable: from 17 candidates on it may leave tied ones in any order."""


class Ranks(NamedTuple):
    """1-based positions, float32."""

    i2t: Tensor
    """``[I']``: of the best caption of each image that has one, in the order of the images
    (``caption_image.unique()`` gives their rows)."""
    t2i: Tensor
    """``[C]``: of each caption's image, in the order of the captions."""


def ranks(images: Tensor, captions: Tensor, caption_image: Tensor, block: int = BLOCK, ties: Ties = "mid") -> Ranks:
    """Position of the positive among all candidates, for every image and for every caption.

    A position is 1 + the negatives more similar than the positive + half of the negatives exactly as similar
    (mid-rank). For an image the positive is the best of its own captions, and its other captions count
    neither as more similar nor as tied. A query is a hit at K when its position is at most K. So a collapsed
    model, all similarities equal, finds nothing: each query stands in the middle of its gallery. Only in a
    gallery with fewer than 2K candidates the middle lies within the first K, and every query is a hit.

    Ties are exact. Every similarity is made by products of one fixed shape (blocks are padded; their sides are
    multiples of 64), because other shapes and ragged edges may sum in another order and end in other bits: the
    same pair of vectors has the same similarity wherever it stands, however often it is computed.

    Memory beside the features: a few blocks, and some numbers for each query. Time: that of one product, and of
    the blocks that hold positives (at most one for each row and column of blocks) once more.

    Args:
        images: ``[I, D]``, normalised if the cosine is meant; half precision is computed in float32.
        captions: ``[C, D]``
        caption_image: ``[C]`` integers: the row in ``images`` of each caption's image. Captions may stand in
            any order, and an image may have any number of them. One without captions is no query, but stands
            in the gallery of the captions.
        block: images and captions per product, rounded up to a multiple of 64. Changes no result.
        ties: what a tied candidate counts. Half is the suite's rule; the others are for comparison.

    Raises:
        ValueError: arrays in place of tensors, shapes that do not fit, a row outside ``images``, values that are not
            finite, an unknown rule.
    """
    return ranked(Products(images, captions), caption_image, block, ties)


@torch.no_grad()
def ranked(scores: "Scores", caption_image: Tensor, block: int = BLOCK, ties: Ties = "mid") -> Ranks:
    """``ranks`` of any similarities, of products or not."""
    scores.check(caption_image)
    check_ties(ties)
    owner, order = caption_image.long().sort(stable=True)
    grid = scores.blocks(None, order, whole_tiles(block))
    own = torch.empty(len(order), dtype=grid.dtype, device=grid.device)
    stairs = set(staircase(owner, grid.side))
    for row, column in sorted(stairs):
        columns, inside = positives(grid, owner, row, column)
        own[columns] = grid.product(row, column)[inside]
    best = own.new_full((grid.height,), -torch.inf).scatter_reduce(0, owner, own, "amax")

    i2t, t2i = count(grid, owner, stairs, best, own, ties)
    return Ranks(i2t[best > -torch.inf].float(), torch.empty_like(t2i).index_copy_(0, order, t2i).float())


def check_ties(ties: str) -> None:
    """``ValueError`` where it is no rule."""
    if ties not in get_args(Ties):
        raise ValueError(f"ties: '{ties}' is none of {', '.join(get_args(Ties))}")


def whole_tiles(block: int) -> int:
    """The side of a block: ``block`` rounded up to a multiple of 64."""
    return -(-block // TILE) * TILE


class Blocks(ABC):
    """The similarity matrix of some images and of the captions in ``order``, never whole: blocks of one shape."""

    dtype = torch.float32

    def __init__(self, height: int, order: Tensor, side: int, device: torch.device) -> None:
        self.height, self.width, self.order, self.side, self.device = height, len(order), order, side, device
        self.rows, self.columns = -(-self.height // side), -(-self.width // side)

    @abstractmethod
    def product(self, row: int, column: int) -> Tensor:
        """A block without its padding, at most ``[side, side]``, in a buffer that the next call overwrites."""


class Scores(ABC):
    """The similarities of all images and captions of a test, however they come about; read in blocks."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Images and captions."""

    @property
    def device(self) -> torch.device:
        """Where blocks are computed."""
        return torch.device("cpu")

    @abstractmethod
    def blocks(self, images: Tensor | None, captions: Tensor, side: int) -> Blocks:
        """Of some images (rows in order; None: all) and some captions (rows in any order)."""

    @abstractmethod
    def part(self, images: slice, captions: Tensor) -> "Scores":
        """Those of a smaller test."""

    def check(self, caption_image: Tensor) -> None:
        """``ValueError`` where ``caption_image [C]`` does not name an image for each caption."""
        check_owners(caption_image, *self.shape)


class Products(Scores):
    """Products of images ``[I, D]`` and captions ``[C, D]``."""

    def __init__(self, images: Tensor, captions: Tensor) -> None:
        self.images, self.captions = images, captions

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.images), len(self.captions)

    @property
    def device(self) -> torch.device:
        return self.images.device

    def blocks(self, images: Tensor | None, captions: Tensor, side: int) -> Blocks:
        return Grid(self.images if images is None else self.images[images], self.captions, captions, side)

    def part(self, images: slice, captions: Tensor) -> Scores:
        return Products(self.images[images], self.captions[captions])

    def check(self, caption_image: Tensor) -> None:
        check(self.images, self.captions, caption_image)


class Grid(Blocks):
    """Of products: all of one shape, so that a pair has the same similarity wherever it stands."""

    def __init__(self, images: Tensor, captions: Tensor, order: Tensor, side: int) -> None:
        super().__init__(len(images), order, side, images.device)
        self.images, self.captions = images, captions
        dim = images.shape[1]
        self._top, self._left = torch.zeros(2, side, dim, device=images.device)
        self._whole = torch.empty(side, side, device=images.device)
        self._row = -1

    def product(self, row: int, column: int) -> Tensor:
        top, left = row * self.side, column * self.side
        if row != self._row:
            filled(self._top, self.images[top : top + self.side])
            self._row = row
        filled(self._left, self.captions[self.order[left : left + self.side]])
        torch.mm(self._top, self._left.T, out=self._whole)
        return self._whole[: self.height - top, : self.width - left]


def filled(block: Tensor, rows: Tensor) -> None:
    """Write ``rows`` to ``block`` as float32, and zeros below."""
    block[: len(rows)] = rows
    block[len(rows) :] = 0


def staircase(owner: Tensor, side: int) -> Iterator[tuple[int, int]]:
    """The blocks that hold positives. Captions are sorted by image, so there are few: at most rows + columns."""
    rows = owner // side
    for column, part in enumerate(torch.split(rows, side)):
        for row in sorted(set(part.tolist())):
            yield row, column


def positives(grid: Blocks, owner: Tensor, row: int, column: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Captions (sorted) whose positive lies in a block, and where it lies there."""
    top, left = row * grid.side, column * grid.side
    rows = owner[left : left + grid.side] - top
    columns = ((rows >= 0) & (rows < grid.side)).nonzero().squeeze(1)
    return left + columns, (rows[columns], columns)


def count(
    grid: Blocks, owner: Tensor, stairs: set[tuple[int, int]], best: Tensor, own: Tensor, ties: Ties
) -> tuple[Tensor, Tensor]:
    """Positions ``[I]`` and ``[C]`` (sorted captions), float64. Positives are -inf here, so they outrank nobody."""
    device = best.device
    rows = torch.arange(grid.height, device=device)
    last = torch.full_like(rows, -1).scatter_reduce(0, owner, torch.where(own == best[owner], grid.order, -1), "amax")
    i2t, t2i = (torch.zeros(size, dtype=torch.float64, device=device) for size in (grid.height, grid.width))
    counted = torch.empty(grid.side, grid.side, dtype=grid.dtype, device=device)
    for row in range(grid.rows):
        down = slice(row * grid.side, (row + 1) * grid.side)
        for column in range(grid.columns):
            along = slice(column * grid.side, (column + 1) * grid.side)
            block = grid.product(row, column)
            if (row, column) in stairs:
                block[positives(grid, owner, row, column)[1]] = -torch.inf
            out = counted[: block.shape[0], : block.shape[1]]
            later = grid.order[along] > last[down, None] if ties == "reference" else None
            i2t[down] += counted_ahead(block, best[down, None], ties, later, out).sum(dim=1)
            later = rows[down, None] > owner[along] if ties == "reference" else None
            t2i[along] += counted_ahead(block, own[along], ties, later, out).sum(dim=0)
    return position(i2t, grid.width, ties), position(t2i, grid.height, ties)


def counted_ahead(values: Tensor, bar: Tensor, ties: Ties, later: Tensor | None, out: Tensor) -> Tensor:
    """What each candidate adds to the count of a query whose positive is ``bar``; ``position`` reads the sum.

    Mid-rank takes one cheap pass: with G greater, L less and T tied of N candidates, G - L is a sum of signs, and
    G + T / 2 = (N + G - L) / 2.
    """
    if ties == "mid":
        return torch.sub(values, bar, out=out).sign_()
    if ties == "pessimistic":
        return torch.ge(values, bar, out=out)
    torch.gt(values, bar, out=out)
    if later is not None:
        out += (values == bar) & later
    return out


def position(counted: Tensor, candidates: int, ties: Ties) -> Tensor:
    """1-based position from the sum of :func:`counted_ahead` over ``candidates``."""
    return 1 + ((candidates + counted) / 2 if ties == "mid" else counted)


def check(images: Tensor, captions: Tensor, caption_image: Tensor) -> None:
    """``ValueError`` where the arguments of :func:`ranks` do not fit."""
    check_tensors({"images": images, "captions": captions, "caption_image": caption_image})
    if images.ndim != 2 or captions.ndim != 2 or images.shape[1] != captions.shape[1]:
        raise ValueError(f"images {list(images.shape)} and captions {list(captions.shape)} must be [I, D] and [C, D]")
    check_owners(caption_image, len(images), len(captions))
    largest = float(images.shape[1])
    for name, features in (("images", images), ("captions", captions)):
        extremes = torch.stack(features.aminmax())  # NaN if there is any
        if not extremes.isfinite().all():
            raise ValueError(f"the {name}' features hold NaN or infinity")
        largest *= float(extremes.abs().max())
    if largest > torch.finfo(torch.float32).max:
        raise ValueError("the features are so large that their similarities may overflow; normalise them")


def check_owners(caption_image: Tensor, images: int, captions: int) -> None:
    """``ValueError`` where it does not name an image for each caption."""
    if caption_image.shape != (captions,):
        raise ValueError(f"caption_image {list(caption_image.shape)} must name an image for {captions} captions")
    if captions == 0:
        raise ValueError("there are no captions to rank")
    low, high = int(caption_image.min()), int(caption_image.max())
    if low < 0 or high >= images:
        raise ValueError(f"caption_image holds rows {low} to {high}, but there are {images} images")
