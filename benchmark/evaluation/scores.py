"""Similarities that are no products of one pair of galleries: those of a file, and means of others."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from negbench.benchmark.evaluation.ranks import Blocks, Scores
from negbench.pipelines.rows import Indices, release


class StoredScores(Scores):
    """An array ``[images, captions]`` of a file, read block by block; float64 is compared as it is, all else as
    float32."""

    def __init__(self, array: NDArray[Any], images: Indices, captions: Indices) -> None:
        """``images [I]`` and ``captions [C]``: rows and columns of the array, in the order of the test."""
        self.array, self.images, self.captions = array, images, captions

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.images), len(self.captions)

    def blocks(self, images: Tensor | None, captions: Tensor, side: int) -> Blocks:
        return StoredBlocks(self, images, captions, side)

    def part(self, images: slice, captions: Tensor) -> Scores:
        return StoredScores(self.array, self.images[images], self.captions[captions.numpy()])

    def digest(self) -> str:
        """Of all similarities in the order of the test, read row by row."""
        whole = hashlib.blake2b(self.array.dtype.str.encode(), digest_size=16)
        for row in self.images:
            whole.update(self.array[row][self.captions].tobytes())
        release(self.array)
        return whole.hexdigest()


class StoredBlocks(Blocks):
    """Of an array of a file."""

    def __init__(self, scores: StoredScores, images: Tensor | None, order: Tensor, side: int) -> None:
        self.array = scores.array
        self.images = scores.images if images is None else scores.images[images.numpy()]
        super().__init__(len(self.images), order, side, order.device)
        self.captions = scores.captions[order.numpy()]
        self.dtype = torch.float64 if scores.array.dtype.itemsize == 8 else torch.float32
        self._whole = torch.empty(side, side, dtype=self.dtype)
        self._row = -1

    def product(self, row: int, column: int) -> Tensor:
        if row != self._row:
            release(self.array)
            self._row = row
        rows = self.images[row * self.side : (row + 1) * self.side]
        columns = self.captions[column * self.side : (column + 1) * self.side]
        block = self._whole[: len(rows), : len(columns)]
        block.numpy()[:] = self.array[np.ix_(rows, columns)]
        return block


class MeanScores(Scores):
    """The mean of several tests' similarities of the same pairs."""

    def __init__(self, members: Sequence[Scores]) -> None:
        self.members = list(members)

    @property
    def shape(self) -> tuple[int, int]:
        return self.members[0].shape

    def blocks(self, images: Tensor | None, captions: Tensor, side: int) -> Blocks:
        return MeanBlocks([member.blocks(images, captions, side) for member in self.members])

    def part(self, images: slice, captions: Tensor) -> Scores:
        return MeanScores([member.part(images, captions) for member in self.members])

    def check(self, caption_image: Tensor) -> None:
        for member in self.members:
            member.check(caption_image)


class MeanBlocks(Blocks):
    """Of a mean."""

    def __init__(self, members: Sequence[Blocks]) -> None:
        first = members[0]
        super().__init__(first.height, first.order, first.side, first.device)
        self.members = members
        self._whole = torch.empty(first.side, first.side)

    def product(self, row: int, column: int) -> Tensor:
        first, *others = [member.product(row, column) for member in self.members]
        block = self._whole[: first.shape[0], : first.shape[1]]
        block.copy_(first)
        for other in others:
            block += other
        return block.div_(len(self.members))
