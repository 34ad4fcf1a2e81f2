"""The two sides of the models of ``open_clip``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import normalize

from negbench.benchmark.errors import BenchError, first_line
from negbench.benchmark.models.base import ParameterGroup, Source, Tower, TowerSettings
from negbench.benchmark.models.parts.pixels import PixelSettings, PixelTower
from negbench.benchmark.models.parts.pretrained import BackboneSettings, groups, head
from negbench.pipelines import hub
from negbench.pipelines.encoders import Model
from negbench.pipelines.encoders.open_clip import CONFIG, WEIGHTS


@dataclass(frozen=True)
class ClipPictureSettings(BackboneSettings, PixelSettings):
    """What the image side has."""


class ClipPictures(PixelTower):
    """Its image side."""

    Settings = ClipPictureSettings

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        assert isinstance(settings, ClipPictureSettings)
        whole, _ = read(model, "image_tower")
        self.net: Any = whole.visual
        self.mean, self.deviation = tuple(self.net.image_mean), tuple(self.net.image_std)
        self.rate = settings.rate
        stop(self.net, settings.frozen, "image")
        self.project = head(source, int(self.net.output_dim), settings.project)

    def forward(self, items: Tensor) -> Tensor:
        return normalize(self.project(self.net(self.normalised(items))).float(), dim=-1)

    def groups(self) -> list[ParameterGroup]:
        return groups(self, self.net, self.rate)


class ClipText(Tower):
    """Its text side."""

    Settings = BackboneSettings

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        assert isinstance(settings, BackboneSettings)
        self.net, where = read(model, "text_tower")
        width = int(self.net.visual.output_dim)
        del self.net.visual
        for temperature in ("logit_scale", "logit_bias"):  # a method has its own
            setattr(self.net, temperature, None)
        self.tokenizer = tokenizer_of(where)
        self.rate = settings.rate
        stop(self.net, settings.frozen, "text")
        self.project = head(source, width, settings.project)

    def forward(self, items: Tensor) -> Tensor:
        return normalize(self.project(self.net.encode_text(items.long())).float(), dim=-1)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        found: Tensor = self.tokenizer(list(texts))
        return found.int()

    def groups(self) -> list[ParameterGroup]:
        return groups(self, self.net, self.rate)


def read(model: str, tower: str) -> tuple[Any, str]:
    """A model, and where ``open_clip`` finds it."""
    import open_clip

    folder = hub.fetch("open-clip", Model.parse(model), CONFIG, WEIGHTS)
    where = f"local-dir:{folder}"
    try:
        return open_clip.create_model_from_pretrained(where, return_transform=False), where
    except (RuntimeError, ValueError, KeyError, OSError, TypeError) as error:
        raise BenchError(f"{tower} open-clip:{model} cannot be read: {first_line(error)}") from None


def tokenizer_of(where: str) -> Any:
    """That of a model."""
    import open_clip

    return open_clip.get_tokenizer(where)


def stop(net: nn.Module, frozen: int, side: str) -> None:
    """-1: the network does not learn."""
    if frozen > 0:
        raise BenchError(f"{side}.frozen: {frozen}; of open-clip models all learns (0) or only the map behind (-1)")
    net.requires_grad_(frozen == 0)
