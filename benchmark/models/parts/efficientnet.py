"""What the EfficientNet-Lite towers share."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from negbench.benchmark.models.base import PIXELS, ParameterGroup, Source, TowerSettings, setting
from negbench.benchmark.models.parts.pixels import PixelSettings, PixelTower
from negbench.benchmark.models.parts.pretrained import BackboneSettings, freeze, groups, head


@dataclass(frozen=True)
class EfficientNetSettings(BackboneSettings, PixelSettings):
    """What may be changed."""

    norms: bool = setting(True, "Whether batch normalisation stays as it was, in training too.")


class EfficientNetLite(PixelTower):
    """The mean of the last feature map, and a linear map; no tower by itself."""

    reads = PIXELS
    extra = "offline"
    Settings = EfficientNetSettings
    mean = (127 / 255,) * 3
    deviation = (128 / 255,) * 3

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        assert isinstance(settings, EfficientNetSettings)
        self.net: Any = self.network()
        self.net._fc = nn.Identity()  # its classifier is not used
        self.rate = settings.rate
        freeze([self.net._conv_stem, self.net._bn0], self.net._blocks, self.net, settings.frozen, source.modality)
        if settings.norms:
            self.freeze_norms()
        self.project = head(source, self.net._conv_head.out_channels, settings.project)

    def network(self) -> Any:
        """The network with its weights."""
        raise NotImplementedError

    def forward(self, items: Tensor) -> Tensor:
        found = self.net.extract_features(self.normalised(items)).mean(dim=(2, 3))
        return normalize(self.project(found).float(), dim=-1)

    def groups(self) -> list[ParameterGroup]:
        return groups(self, self.net, self.rate)


def read(name: str, weights: str) -> Any:
    """A network by name, with the weights of a file."""
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name(name)
    net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return net
