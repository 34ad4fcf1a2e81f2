"""A hidden layer of GELU on frozen vectors."""

from torch import Tensor, nn
from torch.nn.functional import layer_norm, normalize

from negbench.benchmark.models.base import VECTORS, Source, Tower, TowerSettings


class MLP(Tower):
    """Vectors are layer-normalised first; the recipe's ``hidden`` is the layer's width."""

    reads = VECTORS

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        dropout = nn.Dropout(source.dropout)
        first, second = nn.Linear(source.shape[-1], source.hidden), nn.Linear(source.hidden, source.dim)
        self.project = nn.Sequential(dropout, first, nn.GELU(), dropout, second)

    def forward(self, items: Tensor) -> Tensor:
        return normalize(self.project(layer_norm(items, items.shape[-1:])), dim=-1)
