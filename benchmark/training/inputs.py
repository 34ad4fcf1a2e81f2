"""What a training reads: a split on its device, batch by batch."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from negbench.benchmark.errors import BenchError
from negbench.benchmark.evaluation.gallery import Gallery
from negbench.benchmark.models.heads import TwoHeads
from negbench.benchmark.training.vectors import vectors_of
from negbench.pipelines.rows import Rows, ahead

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig
    from negbench.pipelines.store import FeatureStore, Split

ENCODE_ROWS = 8192
"""Vectors or steps encoded at once."""
HELD = 2**30
"""Bytes of a split's features, as float32, up to which they are held in memory."""


class FromFile:
    """Features of a split that is too large for memory: like a tensor when indexed, but each time read anew."""

    def __init__(self, rows: Rows, device: str) -> None:
        self.rows, self.device = rows, device
        self.shape = rows.shape

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        found = self.rows[rows if isinstance(rows, slice) else rows.cpu().numpy()]
        return torch.from_numpy(found).to(self.device)


@dataclass(frozen=True)
class Batch:
    """What a step trains on."""

    captions: Tensor
    """``[B]``: rows of the split."""
    images: Tensor
    """``[B]``: rows of the split."""
    image: Tensor
    """``[B, D_image]`` or ``[B, L, D_image]``: features."""
    text: Tensor
    """``[B, D_text]`` or ``[B, L, D_text]``"""


class SplitTensors:
    """A split on the training's device: its numbers, and its features where they are small enough to be held.

    ``images`` and ``captions`` are what the model looks at, the ``sequences`` where there are some. Features of more
    than ``HELD`` bytes stay in their files and are read batch by batch. The numbers are the same either way.
    """

    def __init__(self, split: "Split", device: str, sequences: dict[str, Rows] | None = None) -> None:
        files = vectors_of(split) | (sequences or {})
        held = sum(rows.nbytes for rows in files.values()) <= HELD
        tensors = {name: tensor(rows, device) if held else FromFile(rows, device) for name, rows in files.items()}
        self.images, self.captions = tensors["images"], tensors["captions"]
        self.caption_image = torch.tensor(split.caption_image, device=device)
        self.image_rows = torch.tensor(split.image_rows, device=device)
        self.caption_rows = torch.tensor(split.caption_rows, device=device)
        self.split, self.device = split, device

    def frozen(self) -> tuple[Tensor, Tensor]:
        """Features of all images and captions as vectors, held in memory whatever their size."""
        images, captions = vectors_of(self.split).values()
        return tensor(images, self.device), tensor(captions, self.device)

    def batches(self, captions: Iterable[Tensor]) -> Iterator[Batch]:
        """The batches of these caption rows, in their order; features in files are read ahead."""
        if isinstance(self.images, FromFile) and isinstance(self.captions, FromFile):
            yield from self.read(self.images.rows, self.captions.rows, list(captions))
            return
        for rows in captions:
            here = rows.to(self.device)
            images = self.caption_image[here]
            yield Batch(here, images, self.images[images], self.captions[here])

    def read(self, image_file: Rows, caption_file: Rows, captions: list[Tensor]) -> Iterator[Batch]:
        """``batches`` of features in files."""
        images = [torch.from_numpy(self.split.caption_image[rows.numpy()]) for rows in captions]
        wanted = [(image.numpy(), caption.numpy()) for image, caption in zip(images, captions, strict=True)]
        found = ahead([image_file, caption_file], wanted)
        for rows, image_rows, features in zip(captions, images, found, strict=True):
            each = (rows, image_rows, *map(torch.from_numpy, features))
            yield Batch(*(part.to(self.device) for part in each))

    @torch.no_grad()
    def gallery(self, model: TwoHeads) -> Gallery:
        """All images and captions as a model sees them, without dropout."""
        model.eval()
        images = torch.cat([model.image(rows) for rows in parts(self.images)])
        captions = torch.cat([model.text(rows) for rows in parts(self.captions)])
        model.train()
        rows = self.caption_image, self.image_rows, self.caption_rows
        return Gallery(images, captions, *rows, self.split.image_ids, self.split.caption_ids)


def opened(store: "FeatureStore", split: str, config: "RunConfig") -> SplitTensors:
    """A split as the model of a cell reads it; ``BenchError`` where its head needs sequences in vain."""
    if config.head != "attention":
        return SplitTensors(store.split(split), config.device)
    sequences = store.sequences(split)
    if not sequences:
        raise BenchError(
            f"head: attention needs regions or tokens, and {store.folder} has none; use linear, or features such as"
            " [n, 36, 2048] files or the encoder minilm-tokens"
        )
    return SplitTensors(store.split(split), config.device, sequences)


def tensor(rows: Rows, device: str) -> Tensor:
    """All rows of a file."""
    return torch.from_numpy(np.asarray(rows)).to(device)


def parts(features: Tensor | FromFile) -> Iterator[Tensor]:
    """All rows in order, some at a time."""
    steps = features.shape[1] if len(features.shape) == 3 else 1
    rows = max(1, ENCODE_ROWS // steps)
    for start in range(0, len(features), rows):
        yield features[start : start + rows]
