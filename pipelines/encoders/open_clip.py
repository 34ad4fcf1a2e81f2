"""Both towers of ``open_clip`` models: ``open-clip:laion/CLIP-ViT-B-32-laion2B-s34B-b79K``, or a local folder.

Pictures and texts become what the model compares, ``projected``, not normalised; the size, crop and normalisation of
pictures and the tokens of texts are those of the model's configuration. Source: M. Cherti et al. (2023),
Reproducible Scaling Laws for Contrastive Language-Image Learning, CVPR.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines import hub
from negbench.pipelines.encoders import Card, Device, Encoder, EncoderKind, Example, Model, in_chunks
from negbench.pipelines.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

EXTRA = "open-clip"
PACKAGE = "open_clip"
EXAMPLES = [Example("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "image, text", 512, "MIT")]
VERSION = "1"  # of this file
CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
CHUNK = 16


def describe(model: Model, kind: EncoderKind) -> Card:
    if model.pooling not in (None, "projected"):
        raise RequestError(f"encoder 'open-clip:{model.name}' has no pooling '{model.pooling}', only 'projected'")
    folder = hub.fetch("open-clip", model, CONFIG, WEIGHTS)
    return Card(
        revision=_revision(model, folder),
        dim=_dim(model, folder),
        load=lambda device: Tower(model, folder, kind, device),
        devices=True,
    )


def revision(model: Model, kind: EncoderKind) -> str | None:
    folder = hub.here(model, CONFIG, WEIGHTS)
    return None if folder is None else _revision(model, folder)


class Tower(Encoder):
    """Pictures or texts to ``[n, dim]``."""

    extra = EXTRA

    def __init__(self, model: Model, folder: Path, kind: EncoderKind, device: Device) -> None:
        import open_clip
        import torch

        self.name, self.kind = f"open-clip:{model.name}", kind
        self.revision, self.dim = _revision(model, folder), _dim(model, folder)
        self._device, self._dtype = device.name, getattr(torch, device.precision)
        where = f"local-dir:{folder}"
        try:
            net, process = open_clip.create_model_from_pretrained(where)
            tokens = open_clip.get_tokenizer(where) if kind == "text" else None
        except (RuntimeError, ValueError, KeyError, OSError, TypeError) as error:
            raise RequestError(f"encoder '{self.name}' cannot be read: {str(error).splitlines()[0]}") from None
        self._net = net.eval().to(device=self._device, dtype=self._dtype)
        self._process: Any = process
        self._tokens: Any = tokens

    def prepare(self, item: Any) -> Any:
        """A picture to ``[3, H, W]``; a text as it is."""
        return self._process(item) if self.kind == "image" else item

    def forward(self, prepared: list[Any]) -> NDArray[np.float32]:
        return in_chunks(prepared, CHUNK if self._device == "cpu" else len(prepared), self.dim, self._vectors)

    def _vectors(self, some: list[Any]) -> "Tensor":
        import torch

        found: Tensor
        if self.kind == "image":
            found = self._net.encode_image(torch.stack(some).to(device=self._device, dtype=self._dtype))
        else:
            found = self._net.encode_text(self._tokens(some).to(self._device))
        return found


def _dim(model: Model, folder: Path) -> int:
    try:
        return int(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_cfg"]["embed_dim"])
    except (ValueError, KeyError, TypeError):
        raise RequestError(f"encoder 'open-clip:{model.name}': its {CONFIG} has no embed_dim") from None


def _revision(model: Model, folder: Path) -> str:
    return f"{hub.content(model, folder)}-{VERSION}"
