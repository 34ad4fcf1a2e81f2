"""What the towers of transformers share: networks from a folder, their layers, texts and pictures through them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from negbench.benchmark.errors import BenchError
from negbench.benchmark.models.base import (
    PADDING,
    PIXELS,
    TEXT,
    Choice,
    ParameterGroup,
    Source,
    Tower,
    TowerSettings,
    padded,
    setting,
)
from negbench.benchmark.models.parts.pixels import PixelSettings, PixelTower
from negbench.benchmark.models.parts.pooling import GPO, mean
from negbench.benchmark.models.parts.pretrained import BackboneSettings, freeze, groups, head, with_lora
from negbench.pipelines import hub
from negbench.pipelines.encoders import Model
from negbench.pipelines.encoders.hf import dim_of, network, tokenizer_of
from negbench.pipelines.files import read_json

POOLINGS = ("mean", "cls", "gpo", "projected")


@dataclass(frozen=True)
class TransformerSettings(BackboneSettings):
    """What towers of transformers have."""

    pooling: str = setting(
        "mean",
        "How tokens become one vector; projected: as a two-tower model has it.",
        choices=POOLINGS,
        search=Choice(POOLINGS[:3]),
    )
    checkpointing: bool = setting(False, "Compute a layer again in the backward pass rather than keep it: less memory.")
    lora: int = setting(0, "Rank of low-rank changes, which learn in place of the weights; 0: none.", low=0, high=1024)


@dataclass(frozen=True)
class TextSettings(TransformerSettings):
    """What such towers of texts have."""

    longest: int = setting(0, "Tokens of a text that are read; 0: as many as the network takes.", low=0, high=10**6)


@dataclass(frozen=True)
class PictureSettings(TransformerSettings, PixelSettings):
    """What such towers of pictures have."""


def prepared(net: Any, settings: TransformerSettings, side: str) -> Any:
    """A network of which as much learns as the settings say."""
    layers = next((part for part in net.modules() if isinstance(part, nn.ModuleList)), nn.ModuleList())
    bottom = [part for name, part in net.named_children() if "embedding" in name]
    freeze(bottom, layers, net, settings.frozen, side)
    if settings.checkpointing:
        enable = getattr(net, "activation_checkpointing_enable", None) or net.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    return with_lora(net, settings.lora) if settings.lora else net


class TransformerText(Tower):
    """A text network and its tokenizer from a folder; no tower by itself."""

    reads = TEXT
    extra = "hf"
    packages: ClassVar[tuple[str, ...]] = ("transformers",)
    Settings = TextSettings

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        assert isinstance(settings, TextSettings)
        folder = self.folder(model)
        name = f"text_tower {Model.parse(model).name if model else folder.name}"
        self.body = Body(source, settings, network(folder, name, settings.pooling), "text")
        self.tokenizer, longest = tokenizer_of(folder, name, self.body.config)
        self.longest = min(longest, settings.longest or longest)
        self.full = str(self.body.config.model_type).startswith("siglip")
        """Trained on full lines of padding, without a mask."""

    def folder(self, model: str) -> Path:
        """Where the model lies; fetched from the hub where it is not here."""
        return hub.fetch("hf", Model.parse(model))

    def forward(self, items: Tensor) -> Tensor:
        real = items >= 0
        words = {"input_ids": items.masked_fill(~real, self.tokenizer.pad_token_id).long()}
        found: Tensor = self.body(words if self.full else words | {"attention_mask": real.long()}, lambda tokens: real)
        return found

    def tokens(self, texts: Sequence[str]) -> Tensor:
        rows = padded(self.tokenizer(list(texts), truncation=True, max_length=self.longest)["input_ids"])
        if self.full:
            rows = pad(rows, (0, self.longest - rows.shape[1]), value=PADDING)
            rows = rows.masked_fill(rows < 0, self.tokenizer.pad_token_id)
        return rows

    def groups(self) -> list[ParameterGroup]:
        return groups(self, self.body.net, self.body.rate)


class TransformerPictures(PixelTower):
    """A vision network from a folder, with its processor's constants; no tower by itself."""

    reads = PIXELS
    extra = "hf"
    packages: ClassVar[tuple[str, ...]] = ("transformers",)
    Settings = PictureSettings

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        assert isinstance(settings, PictureSettings)
        folder = hub.fetch("hf", Model.parse(model))
        name = f"image_tower {Model.parse(model).name}"
        self.body = Body(source, settings, network(folder, name, settings.pooling), "vision")
        self.mean, self.deviation = constants_of(folder)

    def forward(self, items: Tensor) -> Tensor:
        pixels = {"pixel_values": self.normalised(items)}
        found: Tensor = self.body(pixels, lambda tokens: torch.ones_like(tokens[..., 0]) > 0)
        return found

    def groups(self) -> list[ParameterGroup]:
        return groups(self, self.body.net, self.body.rate)


class Body(nn.Module):
    """A network, as much of it as is used, and what makes one vector of its tokens."""

    def __init__(self, source: Source, settings: TransformerSettings, whole: Any, part: str) -> None:
        """``part``: text or vision, of a two-tower model."""
        super().__init__()
        self.config, self.rate, self.kind = whole.config, settings.rate, settings.pooling
        if self.kind == "projected":
            if not hasattr(whole, "get_text_features"):
                raise BenchError(f"{source.modality}.pooling: this model has no joint space; use mean, cls or gpo")
            delattr(whole, {"text": "vision_model", "vision": "text_model"}[part])  # the other tower is not trained
            self.project_by = {"text": "get_text_features", "vision": "get_image_features"}[part]
        else:
            whole = getattr(whole, f"{part}_model", whole)
        self.net = prepared(whole, settings, source.modality)
        self.gpo = GPO() if self.kind == "gpo" else None
        self.project = head(source, dim_of(self.config, source.modality, self.kind), settings.project)

    def forward(self, inputs: dict[str, Tensor], real_of: Callable[[Tensor], Tensor]) -> Tensor:
        """To unit vectors ``[B, dim]``; ``real_of`` tells which of the tokens ``[B, L, D]`` are no padding."""
        if self.kind == "projected":
            found = getattr(self.net, self.project_by)(**inputs)
            found = getattr(found, "pooler_output", found)
        else:
            tokens = self.net(**inputs).last_hidden_state
            if tokens.ndim == 4:  # a convolutional network's map
                tokens = tokens.flatten(2).mT
            found = self.pooled(tokens, real_of(tokens))
        return normalize(self.project(found).float(), dim=-1)

    def pooled(self, tokens: Tensor, real: Tensor) -> Tensor:
        """``[B, L, D]`` to ``[B, D]``."""
        if self.gpo is not None:
            return self.gpo(tokens, real)  # type: ignore[no-any-return]
        return tokens[:, 0] if self.kind == "cls" else mean(tokens.float(), real)


def constants_of(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation by which the model's own processor normalises pixels."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).exists():
            said = read_json(folder / name)
            said = said.get("image_processor", said)
            if "image_mean" in said and "image_std" in said:
                return tuple(said["image_mean"]), tuple(said["image_std"])
    raise BenchError(
        f"{folder}: a model of pictures has a preprocessor_config.json with image_mean and image_std, which say how its"
        " pixels are normalised; this one has none"
    )
