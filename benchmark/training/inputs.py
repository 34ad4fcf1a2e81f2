"""What a training reads: a split on its device, batch by batch, as the towers of a cell read it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from negbench.benchmark.errors import BenchError
from negbench.benchmark.evaluation.gallery import Gallery
from negbench.benchmark.models import registry
from negbench.benchmark.models.base import Modality, Reads, Source, Tower
from negbench.benchmark.models.two_towers import Plan, TwoTowers, make
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.training import processes
from negbench.pipelines.files import digest
from negbench.pipelines.rows import Rows, ahead
from negbench.pipelines.store import load_array

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig
    from negbench.pipelines.store import FeatureStore, Split

ENCODE_ROWS = 8192
"""Vectors, steps or tokens encoded at once."""
ENCODE_PICTURES = 64
"""Pictures encoded at once."""
HELD = 2**30
"""Bytes of a split's features, as they are read, up to which they are held in memory."""
FILES: dict[Modality, str] = {"image": "images", "text": "captions"}
"""Which files of a store are of which side."""
HOW: dict[tuple[Modality, Reads], str] = {
    ("image", "vectors"): "vectors of pictures; use an encoder such as hog+ngrams",
    ("text", "vectors"): "vectors of captions; use an encoder such as hog+ngrams",
    (
        "image",
        "sequences",
    ): "regions; they come with a dataset, as [n, 36, 2048] files: no encoder of pictures makes them",
    ("text", "sequences"): "tokens; use the encoder minilm-tokens, or features such as [n, 20, 300] files",
    ("image", "pixels"): "pixels; use an encoder such as pixels:160+texts, and a dataset of pictures",
}


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


class Tokens:
    """Numbers of tokens of a split, in memory: like a tensor when indexed, less the padding that all rows share."""

    def __init__(self, numbers: Tensor, device: str) -> None:
        self.numbers, self.device = numbers, device
        self.lengths = (numbers >= 0).sum(dim=1)
        self.shape = tuple(numbers.shape)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        here = rows if isinstance(rows, slice) else rows.cpu()
        return self.numbers[here, : int(self.lengths[here].max())].to(self.device)


Items = Tensor | FromFile | Tokens
"""What of a split one tower reads."""


@dataclass(frozen=True)
class Batch:
    """What a step trains on."""

    captions: Tensor
    """``[B]``: rows of the split."""
    images: Tensor
    """``[B]``: rows of the split."""
    image: Tensor
    """``[B, ...]``: what the image tower reads; this process's part of it."""
    text: Tensor
    """``[B, ...]``: likewise of the text tower."""


class SplitTensors:
    """A split on the training's device: its numbers, and what the towers read.

    Features of more than ``HELD`` bytes stay in their files and are read batch by batch. The numbers are the same
    either way.
    """

    def __init__(
        self, split: "Split", device: str, image: Items, text: Items, guide: "Callable[[], Split] | None" = None
    ) -> None:
        """``guide``: opens the split of frozen vectors, where those of ``split`` are not meant."""
        self.images, self.captions, self._guide = image, text, guide
        self._owners = torch.tensor(split.caption_image)
        self.caption_image = self._owners.to(device)
        self.image_rows = torch.tensor(split.image_rows, device=device)
        self.caption_rows = torch.tensor(split.caption_rows, device=device)
        self.split, self.device = split, device

    def frozen(self) -> tuple[Tensor, Tensor]:
        """Frozen features of all images and captions as vectors, held in memory whatever their size.

        ``BenchError`` where the encoder left pixels or texts as they are.
        """
        split = self._guide() if self._guide else self.split
        sides = split.images, split.captions
        if len(sides[0].shape) > 2 or sides[1] is None:
            raise BenchError(
                "this method's guide needs frozen vectors of both sides; name an encoder of them, as in"
                " --set guide_encoder=hog+ngrams"
            )
        return tensor(sides[0], self.device), tensor(sides[1], self.device)

    def batches(self, captions: Iterable[Tensor]) -> Iterator[Batch]:
        """The batches of these caption rows, in their order; features in files are read ahead.

        Of several processes, each has its own part of the items.
        """
        order = list(captions)
        texts = [processes.own(rows) for rows in order]
        images = [self._owners[rows] for rows in texts]
        sides = (self.images, images), (self.captions, texts)
        files = [items.rows for items, _ in sides if isinstance(items, FromFile)]
        wanted = zip(
            *([rows.numpy() for rows in each] for items, each in sides if isinstance(items, FromFile)), strict=True
        )
        read = ahead(files, list(wanted))
        for rows, text_rows, image_rows in zip(order, texts, images, strict=True):
            found = iter(next(read) if files else ())
            image, text = self._taken(self.images, image_rows, found), self._taken(self.captions, text_rows, found)
            here = rows.to(self.device)
            yield Batch(here, self.caption_image[here], image, text)

    def _taken(self, items: Items, rows: Tensor, found: Iterator[NDArray[np.generic]]) -> Tensor:
        """Rows of a side, or what was ``found`` of them in its file."""
        if isinstance(items, FromFile):
            return torch.from_numpy(next(found)).to(self.device)
        return items[rows.to(self.device) if isinstance(items, Tensor) else rows]

    @torch.no_grad()
    def gallery(self, model: TwoTowers) -> Gallery:
        """All images and captions as a model sees them, without dropout."""
        model.eval()
        images = torch.cat([model.image(rows) for rows in parts(self.images)])
        captions = torch.cat([model.text(rows) for rows in parts(self.captions)])
        model.train()
        rows = self.caption_image, self.image_rows, self.caption_rows
        return Gallery(images, captions, *rows, self.split.image_ids, self.split.caption_ids)


def towers_for(store: "FeatureStore", config: "RunConfig") -> TwoTowers:
    """The towers of a cell before their training; ``BenchError`` where the store has not what they read."""
    image, text = plan(store, config, "image"), plan(store, config, "text")
    return make(image, text, seed_for(config.seed, "weights"))


def check_towers(store: "FeatureStore", config: "RunConfig") -> None:
    """``BenchError`` where the store has not what the towers of a cell read; reads no features."""
    for modality in FILES:
        plan(store, config, modality)


def plan(store: "FeatureStore", config: "RunConfig", modality: Modality) -> Plan:
    """The tower of a side, and what it is made for."""
    image = modality == "image"
    name = config.image_tower if image else config.text_tower
    reads = registry.for_side(name, modality).reads[modality]
    text = reads == "text"
    source = Source(
        modality=modality,
        shape=() if text else shape_of(store, modality, reads),
        dim=config.dim,
        hidden=config.hidden,
        dropout=config.dropout,
        captions=store.texts("train") if text else (),
    )
    return Plan(name, source, config.image_settings if image else config.text_settings)


def shape_of(store: "FeatureStore", modality: Modality, reads: Reads) -> tuple[int, ...]:
    """Of an item as a tower reads it; ``BenchError`` where the store has none such, with what to do."""
    path = store.folder / f"train_{FILES[modality]}{'_sequences' if reads == 'sequences' else ''}.npy"
    shape = load_array(path).shape[1:] if path.name in store.info["files"] else ()
    if len(shape) != {"vectors": 1, "sequences": 2, "pixels": 3}.get(reads):
        raise BenchError(f"{modality}_tower reads {reads}, and {store.folder} has no {HOW[modality, reads]}")
    return shape


def opened(store: "FeatureStore", split: str, config: "RunConfig", towers: TwoTowers) -> SplitTensors:
    """A split as the towers of a cell read it."""
    found = store.split(split)
    sides = [_read(store, split, found, towers.image, "image"), _read(store, split, found, towers.text, "text")]
    held = sum(rows.nbytes for rows in sides if isinstance(rows, Rows)) <= HELD
    guide = partial(guide_of(store, config).split, split) if config.guide_encoder else None
    image, text = (_items(rows, config.device, held) for rows in sides)
    return SplitTensors(found, config.device, image, text, guide)


def guide_of(store: "FeatureStore", config: "RunConfig") -> "FeatureStore":
    """The store of frozen vectors for the guide; ``DataError`` where it was not made."""
    return store.beside(config.guide_encoder) if config.guide_encoder else store


def features_hash(store: "FeatureStore", config: "RunConfig") -> str:
    """Digest of all features of a cell."""
    return digest(store.hash, guide_of(store, config).hash) if config.guide_encoder else store.hash


def _read(store: "FeatureStore", split: str, found: "Split", tower: Tower, modality: Modality) -> Rows | Tensor:
    reads, name = tower.reads[modality], FILES[modality]
    if reads == "text":
        return tower.tokens(store.texts(split))
    rows: Rows = store.sequences(split)[name] if reads == "sequences" else getattr(found, name)
    return rows


def _items(found: Rows | Tensor, device: str, held: bool) -> Items:
    if isinstance(found, Tensor):
        return Tokens(found, device)
    return tensor(found, device) if held else FromFile(found, device)


def tensor(rows: Rows, device: str) -> Tensor:
    """All rows of a file."""
    return torch.from_numpy(np.asarray(rows)).to(device)


def parts(items: Items) -> Iterator[Tensor]:
    """All rows in order, some at a time."""
    if len(items.shape) == 4:
        rows = ENCODE_PICTURES
    elif len(items.shape) == 3 or isinstance(items, Tokens):
        rows = max(1, ENCODE_ROWS // items.shape[1])
    else:
        rows = ENCODE_ROWS
    for start in range(0, len(items), rows):
        yield items[start : start + rows]
