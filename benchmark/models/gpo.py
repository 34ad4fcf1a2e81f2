"""Regions or tokens through a linear map and a small residual network, then the generalised pooling operator.

J. Chen et al. (2021), Learning the Best Pooling Strategy for Visual Semantic Embedding, CVPR (VSE-infinity).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, normalize

from negbench.benchmark.models.base import SEQUENCES, Range, Source, Tower, TowerSettings, setting
from negbench.benchmark.models.parts.pooling import GPO, real_steps


@dataclass(frozen=True)
class GPOSettings(TowerSettings):
    """What may be changed."""

    drop: float = setting(
        0.2,
        "Share of the steps that a training step leaves out (size augmentation).",
        low=0,
        high=0.9,
        search=Range(0, 0.5),
    )
    residual: bool = setting(True, "Whether a hidden layer adds to the linear map.")


class GPOTower(Tower):
    """Of a sequence ``[L, D]`` of any length."""

    reads = SEQUENCES
    Settings = GPOSettings

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        assert isinstance(settings, GPOSettings)
        features = source.shape[-1]
        self.drop = settings.drop
        self.project = nn.Sequential(nn.Dropout(source.dropout), nn.Linear(features, source.dim))
        self.residual = (
            nn.Sequential(nn.Linear(features, source.hidden), nn.ReLU(), nn.Linear(source.hidden, source.dim))
            if settings.residual
            else None
        )
        self.pool = GPO()

    def forward(self, items: Tensor) -> Tensor:
        real = real_steps(items)
        if self.training and self.drop:
            kept = real & (torch.rand(real.shape, device=real.device) >= self.drop)
            real = torch.where(kept.any(dim=1, keepdim=True), kept, real)  # never all of them
        steps = layer_norm(items, items.shape[-1:])
        projected = self.project(steps)
        if self.residual is not None:
            projected = projected + self.residual(steps)
        return normalize(self.pool(projected, real).float(), dim=-1)
