"""A mean of regions or tokens that is learnt, and a linear map of it."""

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, normalize

from negbench.benchmark.models.base import SEQUENCES, Source, Tower, TowerSettings
from negbench.benchmark.models.parts.pooling import real_steps, weighted


class Attention(Tower):
    """A step weighs the softmax of a linear score, which begins at zero: the learnt mean begins as the plain one."""

    reads = SEQUENCES

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        features = source.shape[-1]
        self.project = nn.Sequential(nn.Dropout(source.dropout), nn.Linear(features, source.dim))
        self.score = nn.Parameter(torch.zeros(features))

    def forward(self, items: Tensor) -> Tensor:
        scores = layer_norm(items, items.shape[-1:]) @ self.score
        pooled = weighted(items, scores, real_steps(items))
        return normalize(self.project(layer_norm(pooled, pooled.shape[-1:])), dim=-1)
