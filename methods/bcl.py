"""BCL: negatives weighted by the odds that a candidate of their rank is a true one, and a hard one.

B. Liu, B. Wang, T. Li: Bayesian Self-Supervised Contrastive Learning, 2023 (arXiv 2301.11673). Where a candidate
stands among the anchor's negatives, by their empirical distribution u, is taken for a draw from a mixture of true and
false negatives. The inverse of the mixture's distribution is written ``2 u / (b + root)``, which is exact where the
authors' code adds 0.001 to its denominators; bounds of the settings keep the others from 0. Alpha and beta are those of
their command for STL-10; alpha stays fixed, where theirs may also rise in steps or be measured with labels. Their
negatives are of one modality, their T is 0.5.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class BCLSettings(InfoNCESettings):
    prior: float = setting(
        0.1, "assumed share of false negatives", low=0.0, high=0.5, search=Range(0.001, 0.3, log=True)
    )
    alpha: float = setting(
        0.8,
        "how well similarity tells false negatives from true ones, as an AUC; at 0.5 not at all",
        low=0.5,
        high=0.99,
        search=Range(0.5, 0.99),
    )
    beta: float = setting(
        1.0, "concentration on hard negatives; at 0.5 none", low=0.5, high=1.0, search=Range(0.5, 1.0)
    )


class BCL(InfoNCE):
    """``-log(e+ / (e+ + sum w e-))``, ``w = p(s | true and hard) / p(s)``, without gradient."""

    Settings = BCLSettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        logits = similarity * self.scale + self.weights(similarity.detach(), positive).log()
        pushed, partner = logits.masked_fill(positive, -torch.inf).logsumexp(dim=1), own * self.scale
        return (torch.logaddexp(pushed, partner) - partner).mean() / 2

    def weights(self, similarity: Tensor, positive: Tensor) -> Tensor:
        """``[B, N]``: w; their mean over many negatives is 1."""
        alpha, beta = float(self.settings.alpha), float(self.settings.beta)
        below = self.below(similarity, positive)
        easy, hard = alpha * (1 - beta), (1 - alpha) * beta
        true_and_hard = 2 * (easy * (1 - below) + hard * below) / (easy + hard)
        return true_and_hard / self.density(below)

    def suspicion(self, view: View) -> Tensor:
        """The probability of a false negative, of candidates that are no known positives."""
        below, alpha = self.below(view.similarity.detach(), view.positive), float(self.settings.alpha)
        false = 2 * ((1 - alpha) * (1 - below) + alpha * below)
        return float(self.settings.prior) * false / self.density(below)

    def density(self, below: Tensor) -> Tensor:
        """Of the mixture, by the one of candidates at large."""
        mixed = self.mixed
        return 2 * (mixed * (1 - below) + (1 - mixed) * below)

    @property
    def mixed(self) -> float:
        """Weight, in the mixture, of the smaller of two draws; the larger has the rest."""
        alpha, prior = float(self.settings.alpha), float(self.settings.prior)
        return alpha * (1 - prior) + (1 - alpha) * prior

    def below(self, similarity: Tensor, positive: Tensor) -> Tensor:
        """F ``[B, N]``: the share of candidates at large below each, by its rank among the anchor's negatives."""
        ordered = torch.where(positive, torch.inf, similarity).sort(dim=1).values
        rank = torch.searchsorted(ordered, similarity.contiguous(), right=True)
        count = (~positive).sum(dim=1, keepdim=True)
        share = torch.minimum(rank, count).to(similarity.dtype) / count.clamp_min(1)
        mixed = self.mixed
        return 2 * share / (2 * mixed + (4 * mixed**2 + 4 * (1 - 2 * mixed) * share).sqrt())
