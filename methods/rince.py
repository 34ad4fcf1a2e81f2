"""RINCE: a softmax loss that noisy pairs move little, between InfoNCE (q near 0) and a symmetric loss (q = 1).

C.-Y. Chuang, R. D. Hjelm, X. Wang, V. Vineet, N. Joshi, A. Torralba, S. Jegelka, Y. Song: Robust Contrastive Learning
against Noisy Views, CVPR 2022. With q, a pair whose partners are unlike each other, as in noise, has a smaller
gradient instead of the largest. Their code for MoCo has T = 1 and multiplies the loss by 2 T; later use for images and
texts (GSC) has 0.07. Here T is not learnt and at least 0.02, as q = 1 overflows below. An anchor without negatives pays
nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Listwise, Range, Settings, setting


@dataclass(frozen=True)
class RINCESettings(Settings):
    temperature: float = setting(0.1, "temperature", low=0.02, search=Range(0.02, 0.5, log=True))
    q: float = setting(
        0.1, "robustness: near 0 InfoNCE, 1 the most", low=0.001, high=1.0, search=Range(0.01, 1.0, log=True)
    )
    weight: float = setting(
        0.01, "of the denominator (lambda)", low=0.0001, high=1.0, search=Range(0.001, 0.5, log=True)
    )


class RINCE(Listwise):
    """``(-e+^q + (weight (e+ + sum e-))^q) / q``, ``e = exp(s / T)``, mean of both directions."""

    Settings = RINCESettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        q, temperature = float(self.settings.q), float(self.settings.temperature)
        partner = own / temperature
        negatives = (similarity / temperature).masked_fill(positive, -torch.inf).logsumexp(dim=1)
        everything = torch.logaddexp(negatives, partner)
        cost = (float(self.settings.weight) ** q * (q * everything).exp() - (q * partner).exp()) / q
        return torch.where(positive.all(dim=1), 0, cost).mean() / 2
