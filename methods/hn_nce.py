"""HN-NCE: InfoNCE with hard negatives counted more, and the positive in the denominator by a share.

F. Radenovic, A. Dubey, A. Kadian, T. Mihaylov, S. Vandenhende, Y. Patel, Y. Wen, V. Ramanathan, D. Mahajan: Filtering,
Distillation, and Hard Negatives for Vision-Language Pre-Training, CVPR 2023 (DiHT). The weights are HCL's, with
gradient as there, and so is the default of beta; nothing is assumed of false negatives. Their T is learnt; public code
for videos (VFC) has the loss with 0.05. One beta serves both directions.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Range, setting
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class HNNCESettings(InfoNCESettings):
    alpha: float = setting(1.0, "share of the positive in the denominator", low=0.0, high=1.0, search=Range(0.0, 1.0))
    beta: float = setting(
        1.0, "concentration on hard negatives; at 0 they count alike", low=0.0, high=10.0, search=Range(0.1, 4.0)
    )


class HNNCE(InfoNCE):
    """``-log(e+ / (alpha e+ + sum w e-))``, ``w = exp(beta s / T)`` with mean 1 over an anchor's negatives."""

    Settings = HNNCESettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        alpha, beta = float(self.settings.alpha), float(self.settings.beta)
        count, logits = (~positive).sum(dim=1), similarity * self.scale
        lowest = torch.finfo(logits.dtype).min  # finite: an anchor without negatives must not make NaN on its way
        weighted, weights = (
            (logits * power).masked_fill(positive, lowest).logsumexp(dim=1) for power in (1 + beta, beta)
        )
        excess = count.clamp_min(1).log() + weighted - weights - own * self.scale
        cost = torch.logaddexp(excess, excess.new_full((), math.log(alpha))) if alpha else excess
        return torch.where(count > 0, cost, 0).mean() / 2
