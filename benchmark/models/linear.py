"""A linear map of frozen vectors."""

from torch import Tensor, nn
from torch.nn.functional import layer_norm, normalize

from negbench.benchmark.models.base import VECTORS, Source, Tower, TowerSettings


class Linear(Tower):
    """Vectors are layer-normalised first, whatever their scale."""

    reads = VECTORS

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        self.project = nn.Sequential(nn.Dropout(source.dropout), nn.Linear(source.shape[-1], source.dim))

    def forward(self, items: Tensor) -> Tensor:
        return normalize(self.project(layer_norm(items, items.shape[-1:])), dim=-1)
