"""Any vision model of timm, by hub name or local folder.

R. Wightman (2019), PyTorch Image Models.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import normalize

from negbench.benchmark.errors import BenchError, first_line
from negbench.benchmark.models.base import PIXELS, ParameterGroup, Source, TowerSettings, setting
from negbench.benchmark.models.parts.pixels import PixelSettings, PixelTower
from negbench.benchmark.models.parts.pretrained import BackboneSettings, groups, head
from negbench.pipelines import hub
from negbench.pipelines.encoders import Model


@dataclass(frozen=True)
class TimmSettings(BackboneSettings, PixelSettings):
    """What may be changed."""

    norms: bool = setting(True, "Whether batch normalisation stays as it was, in training too.")
    checkpointing: bool = setting(False, "Compute a layer again in the backward pass rather than keep it: less memory.")


class Timm(PixelTower):
    """What the model's own pooling makes of the picture, before its classifier."""

    reads = PIXELS
    family = "timm/vit_base_patch16_224.augreg_in21k"
    extra = "timm"
    packages = ("timm",)
    Settings = TimmSettings

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        assert isinstance(settings, TimmSettings)
        import timm

        folder = hub.fetch("timm", Model.parse(model))
        try:
            self.net = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            raise BenchError(f"image_tower timm:{model} cannot be read: {first_line(error)}") from None
        constants = timm.data.resolve_model_data_config(self.net)
        self.mean, self.deviation = tuple(constants["mean"]), tuple(constants["std"])
        self.rate = settings.rate
        self.net.set_grad_checkpointing(settings.checkpointing)
        stop(self.net, settings.frozen)
        if settings.norms:
            self.freeze_norms()
        self.project = head(source, int(self.net.num_features), settings.project)

    def forward(self, items: Tensor) -> Tensor:
        return normalize(self.project(self.net(self.normalised(items))).float(), dim=-1)

    def groups(self) -> list[ParameterGroup]:
        return groups(self, self.net, self.rate)


def stop(net: nn.Module, frozen: int) -> None:
    """The stem and the first ``frozen`` groups of layers, as timm counts them, do not learn; -1: none does."""
    from timm.models import group_parameters

    order: dict[int, list[str]] = group_parameters(net, net.group_matcher(coarse=True))  # type: ignore[operator]
    if frozen >= len(order):
        raise BenchError(f"image.frozen: {frozen} layers, and the network has {len(order) - 1}")
    stopped = {name for place, names in order.items() if frozen and (frozen < 0 or place <= frozen) for name in names}
    for name, weight in net.named_parameters():
        weight.requires_grad_(name not in stopped)
