"""A small transformer over regions or tokens, then their mean.

A. Vaswani et al. (2017), Attention Is All You Need, NeurIPS; layers are normalised before each part.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import layer_norm, normalize

from negbench.benchmark.errors import BenchError
from negbench.benchmark.models.base import SEQUENCES, Choice, Source, Tower, TowerSettings, setting
from negbench.benchmark.models.parts.pooling import mean, real_steps


@dataclass(frozen=True)
class SelfAttentionSettings(TowerSettings):
    """What may be changed."""

    layers: int = setting(1, "Layers.", low=1, high=24, search=Choice((1, 2)))
    heads: int = setting(4, "Heads of each layer; they divide the recipe's hidden.", low=1, high=64)


class SelfAttention(Tower):
    """Steps are projected to the recipe's ``hidden`` first; nothing tells their order, as of a set of regions."""

    reads = SEQUENCES
    Settings = SelfAttentionSettings

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        assert isinstance(settings, SelfAttentionSettings)
        width = source.hidden
        if width % settings.heads:
            raise BenchError(f"{source.modality}.heads: {settings.heads} do not divide hidden: {width}")
        layer = nn.TransformerEncoderLayer(
            width, settings.heads, 2 * width, source.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.enter = nn.Linear(source.shape[-1], width)
        self.layers = nn.TransformerEncoder(layer, settings.layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.project = nn.Linear(width, source.dim)

    def forward(self, items: Tensor) -> Tensor:
        real = real_steps(items)
        seen = real | ~real.any(dim=1, keepdim=True)  # an item of padding alone sees all of it: no NaN
        steps = self.enter(layer_norm(items, items.shape[-1:]))
        steps = self.layers(steps, src_key_padding_mask=~seen)
        return normalize(self.project(mean(steps, seen)).float(), dim=-1)
