"""HCL: the debiased loss with hard negatives counted more.

J. Robinson, C.-Y. Chuang, S. Sra, S. Jegelka: Contrastive Learning with Hard Negative Samples, ICLR 2021: negatives
are weighted by ``exp(beta s / T)``, normalised to mean 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import Range, setting
from methods.debiased import Debiased, DebiasedSettings


@dataclass(frozen=True)
class HCLSettings(DebiasedSettings):
    beta: float = setting(
        1.0, "concentration on hard negatives; 0 is the debiased loss", low=0.0, search=Range(0.1, 4.0)
    )


class HCL(Debiased):
    """The debiased loss with ``sum e-`` replaced by ``sum(w e-) / mean(w)``, ``w = exp(beta s / T)``."""

    Settings = HCLSettings

    def pushed(self, logits: Tensor, positive: Tensor) -> Tensor:
        logits = logits.masked_fill(positive, -torch.inf)
        weights = (
            (float(self.settings.beta) * logits)
            .masked_fill(positive, -torch.inf)
            .softmax(dim=1)
            .masked_fill(positive, 0)
        )
        return (weights * logits.exp()).sum(dim=1) * (~positive).sum(dim=1)
