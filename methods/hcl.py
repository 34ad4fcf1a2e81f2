"""HCL: the debiased loss with hard negatives counted more.

J. Robinson, C.-Y. Chuang, S. Sra, S. Jegelka: Contrastive Learning with Hard Negative Samples, ICLR 2021: negatives
are weighted by ``exp(beta s / T)``, normalised to mean 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Range, setting
from .debiased import Debiased, DebiasedSettings


@dataclass(frozen=True)
class HCLSettings(DebiasedSettings):
    beta: float = setting(
        1.0, "concentration on hard negatives; 0 is the debiased loss", low=0.0, search=Range(0.1, 4.0)
    )


class HCL(Debiased):
    """The debiased loss with ``sum e-`` replaced by ``sum(w e-) / mean(w)``, ``w = exp(beta s / T)``."""

    Settings = HCLSettings

    def pushed(self, logits: Tensor, positive: Tensor) -> Tensor:
        value, slope = self._value_and_slope(logits.detach(), positive)
        linear = (slope * logits).sum(dim=1)  # one pass for autograd instead of ten
        return value + linear - linear.detach()

    def _value_and_slope(self, logits: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
        """``f = count sum(w e) / sum(w)`` ``[B]``, with ``w = e^beta``, and its derivative by the logits ``[B, N]``."""
        beta, count = float(self.settings.beta), (~positive).sum(dim=1, keepdim=True)
        shifted = torch.where(positive, -torch.inf, logits)
        top = shifted.amax(dim=1, keepdim=True).clamp_min(torch.finfo(logits.dtype).min)
        shifted -= top
        weights = torch.where(positive, 0, shifted.mul(beta).exp_())
        weighted = shifted.exp_().mul_(weights)
        total, sum_weighted = (each.sum(dim=1, keepdim=True).clamp_min(1e-30) for each in (weights, weighted))
        value = count * sum_weighted / total * top.exp()
        slope = weighted.mul_(value * (1 + beta) / sum_weighted).sub_(weights.mul_(value * beta / total))
        return value[:, 0], slope
