"""New pictures and texts through the towers of a record, by the way that its training data came."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.models.base import Modality, Reads, Tower
from negbench.benchmark.sweeps.recorded_cell import RecordedCell
from negbench.benchmark.training.inputs import Items, Tokens, parts
from negbench.pipelines import encoders
from negbench.pipelines.features import mean_of_steps
from negbench.pipelines.reading import pictures
from negbench.pipelines.store import FeatureStore

if TYPE_CHECKING:
    from PIL.Image import Image

AT_ONCE = 64
"""Items that a frozen encoder gets at once."""
WHAT: dict[Modality, str] = {"image": "picture", "text": "text"}


@torch.no_grad()
def encode_texts(cell: RecordedCell, texts: Sequence[str]) -> Tensor:
    """``[n, dim]`` unit vectors; ``NoDataError`` where a new text cannot be encoded as the training's were."""
    tower = cell.towers.text
    if not texts:
        return torch.empty(0, cell.config.dim)
    if tower.reads["text"] != "text":
        return through(tower, frozen(cell.store, "text", tower.reads["text"], list(texts)))
    return through(tower, Tokens(tower.tokens(list(texts)), "cpu"))


@torch.no_grad()
def encode_images(cell: RecordedCell, images: "Sequence[Path | str | Image]") -> Tensor:
    """The same of pictures: files, or what Pillow has opened."""
    opened = [pictures.read(Path(each)) if isinstance(each, str | Path) else pictures.plain(each) for each in images]
    if not opened:
        return torch.empty(0, cell.config.dim)
    tower = cell.towers.image
    return through(tower, frozen(cell.store, "image", tower.reads["image"], opened))


def through(tower: Tower, items: Items) -> Tensor:
    """Items through a tower, without dropout."""
    tower.eval()
    return torch.cat([tower(part) for part in parts(items)])


def frozen(store: FeatureStore, modality: Modality, reads: Reads, items: list[Any]) -> Tensor:
    """What the encoder of a store makes of new items, with as many digits as the store keeps."""
    told = store.info.get(modality, {})
    encoder = encoder_of(store, modality, str(told.get("name", "")), told.get("revision"))
    kind = np.dtype(np.uint8 if reads == "pixels" else store.info.get("dtype", "float32"))
    made = [encoder.encode(items[start : start + AT_ONCE]) for start in range(0, len(items), AT_ONCE)]
    found = np.concatenate(made).astype(kind)
    if encoder.length and reads == "vectors":
        found = mean_of_steps(found.astype(np.float32)).astype(kind)
    return torch.from_numpy(found if reads == "pixels" else found.astype(np.float32))


def encoder_of(store: FeatureStore, modality: Modality, name: str, revision: Any) -> encoders.Encoder:
    """The encoder that made one side of a store; ``NoDataError`` where there is none, or it is another by now."""
    where, lost = f"{store.folder}: its {modality} features", f"so no new {WHAT[modality]} can be encoded"
    if not name:
        raise NoDataError(f"{where} do not say what encoded them, {lost}")
    if name == encoders.PRECOMPUTED:
        raise NoDataError(f"{where} came with the dataset, {lost}")
    if (now := encoders.card(name, modality).revision) != revision:
        raise NoDataError(f"encoder '{name}' is another by now ({now}, not {revision}), {lost}")
    return encoders.make(name, modality)
