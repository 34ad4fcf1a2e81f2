"""Debiased contrastive loss: takes the share of false negatives to be known, and subtracts it.

C.-Y. Chuang, J. Robinson, L. Yen-Chen, A. Torralba, S. Jegelka: Debiased Contrastive Learning, NeurIPS 2020, eq. 7-8.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Listwise, Range, Settings, setting


@dataclass(frozen=True)
class DebiasedSettings(Settings):
    prior: float = setting(
        0.1, "assumed share of false negatives", low=0.0, high=0.99, search=Range(0.001, 0.3, log=True)
    )
    temperature: float = setting(0.1, "temperature; the paper's is 0.5", low=0.02, search=Range(0.03, 1.0, log=True))


class Debiased(Listwise):
    """``-log(e+ / (e+ + g))``, ``g = max((sum e- - prior N e+) / (1 - prior), N exp(-1 / T))``, mean of directions."""

    Settings = DebiasedSettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        temperature, prior = float(self.settings.temperature), float(self.settings.prior)
        count = (~positive).sum(dim=1)
        own = (own / temperature).exp()
        pushed = self.pushed(similarity / temperature, positive)
        negatives = torch.maximum((pushed - prior * count * own) / (1 - prior), count * math.exp(-1 / temperature))
        return (torch.log(own + negatives) - own.log()).mean() / 2

    def pushed(self, logits: Tensor, positive: Tensor) -> Tensor:
        """Sum over negatives of ``exp(s / T)``: ``[B]``."""
        return logits.masked_fill(positive, -torch.inf).exp().sum(dim=1)
