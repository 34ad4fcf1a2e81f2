"""SCT: where the hardest negative is too hard, only push it away, and leave the positive alone.

H. Xuan, A. Stylianou, X. Liu, R. Pless: Hard Negative Examples are Hard, but Useful, ECCV 2020.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .base import Candidates, Range, Sampler, Settings, setting


@dataclass(frozen=True)
class SCTSettings(Settings):
    weight: float = setting(1.0, "weight of the push on a too hard negative", low=0.0, search=Range(0.1, 3.0, log=True))
    ceiling: float = setting(0.8, "similarity from which a negative is too hard anyway", low=-1.0, high=1.0)
    temperature: float = setting(0.1, "temperature of the softmax pair", low=0.01, search=Range(0.03, 0.5, log=True))


class SCT(Sampler):
    """``weight s-`` if ``s- > s+`` or ``s- > ceiling``, else ``-log softmax([s+, s-] / temperature)``."""

    Settings = SCTSettings

    def choose(self, candidates: Candidates) -> Tensor:
        return candidates.hardest

    def pair_loss(self, positive: Tensor, negative: Tensor) -> Tensor:
        too_hard = (negative > positive) | (negative > self.settings.ceiling)
        return torch.where(
            too_hard, self.settings.weight * negative, softplus((negative - positive) / self.settings.temperature)
        )
