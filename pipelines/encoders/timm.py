"""Vision models of ``timm``, by hub name or local folder: ``timm:timm/vit_base_patch16_224.augreg_in21k``.

Pictures become what the model's own pooling makes of them before its classifier, ``pooler``; their size, crop and
normalisation are those of the model's configuration. Source: R. Wightman (2019), PyTorch Image Models.
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
    from PIL import Image
    from torch import Tensor

EXTRA = "timm"
PACKAGE = "timm"
EXAMPLES = [
    Example("timm/vit_base_patch16_224.augreg_in21k", "image", 768, "Apache-2.0"),
    Example("timm/resnet50.a1_in1k", "image", 2048, "Apache-2.0"),
]
VERSION = "1"  # of this file
CHUNK = 16


def describe(model: Model, kind: EncoderKind) -> Card:
    if kind == "text":
        raise RequestError(f"encoder 'timm:{model.name}' encodes images, not texts")
    if model.pooling not in (None, "pooler"):
        raise RequestError(f"encoder 'timm:{model.name}' has no pooling '{model.pooling}', only its own")
    folder = hub.fetch("timm", model)
    return Card(_revision(model, folder), _dim(model, folder), lambda device: Timm(model, folder, device), devices=True)


def revision(model: Model, kind: EncoderKind) -> str | None:
    folder = hub.here(model)
    return None if folder is None else _revision(model, folder)


class Timm(Encoder):
    """Pictures to ``[n, dim]``."""

    kind: EncoderKind = "image"
    extra = EXTRA

    def __init__(self, model: Model, folder: Path, device: Device) -> None:
        import timm
        import torch

        self.name, self.revision, self.dim = f"timm:{model.name}", _revision(model, folder), _dim(model, folder)
        self._device, self._dtype = device.name, getattr(torch, device.precision)
        try:
            self._net = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            raise RequestError(f"encoder '{self.name}' cannot be read: {str(error).splitlines()[0]}") from None
        self._net.eval().to(device=self._device, dtype=self._dtype)
        settings = timm.data.resolve_model_data_config(self._net)
        self._process: Any = timm.data.create_transform(**settings, is_training=False)

    def prepare(self, item: "Image.Image") -> "Tensor":
        """``[3, H, W]``."""
        return self._process(item)  # type: ignore[no-any-return]

    def forward(self, prepared: "list[Tensor]") -> NDArray[np.float32]:
        import torch

        def vectors(some: "list[Tensor]") -> "Tensor":
            found: Tensor = self._net(torch.stack(some).to(device=self._device, dtype=self._dtype))
            return found

        return in_chunks(prepared, CHUNK if self._device == "cpu" else len(prepared), self.dim, vectors)


def _dim(model: Model, folder: Path) -> int:
    try:
        return int(json.loads((folder / hub.CONFIG).read_text(encoding="utf-8"))["num_features"])
    except (ValueError, KeyError, TypeError):
        raise RequestError(f"encoder 'timm:{model.name}': its config.json is none of timm: no num_features") from None


def _revision(model: Model, folder: Path) -> str:
    return f"{hub.content(model, folder)}-{VERSION}"
