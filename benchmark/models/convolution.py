"""A small convolutional network from pixels, trained from nothing: for pictures as simple as those of scenes.

Layers of 3 x 3 with group normalisation (Y. Wu, K. He (2018), ECCV), halved by strides; the mean and the largest of the
last map.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from negbench.benchmark.models.base import PIXELS, Choice, Source, TowerSettings, setting
from negbench.benchmark.models.parts.pixels import PixelSettings, PixelTower


@dataclass(frozen=True)
class ConvolutionSettings(PixelSettings):
    """What may be changed."""

    width: int = setting(
        32,
        "Channels of the first stage; twice as many in each next.",
        low=8,
        high=512,
        search=Choice((16, 32, 64)),
    )
    stages: int = setting(4, "Halvings of the picture.", low=1, high=8)


class Convolution(PixelTower):
    """No weights from elsewhere."""

    reads = PIXELS
    Settings = ConvolutionSettings

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        assert isinstance(settings, ConvolutionSettings)
        widths = [3, *(settings.width * 2**stage for stage in range(settings.stages))]
        self.net = nn.Sequential(*(layer for a, b in pairwise(widths) for layer in stage(a, b)))
        self.project = nn.Sequential(nn.Dropout(source.dropout), nn.Linear(2 * widths[-1], source.dim))

    def forward(self, items: Tensor) -> Tensor:
        found = self.net(self.normalised(items))
        pooled = torch.cat([found.mean(dim=(2, 3)), found.amax(dim=(2, 3))], dim=1)
        return normalize(self.project(pooled).float(), dim=-1)


def stage(before: int, after: int) -> list[nn.Module]:
    """Half the size, other channels."""
    norm = nn.GroupNorm(8, after)
    return [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), norm, nn.GELU()]
