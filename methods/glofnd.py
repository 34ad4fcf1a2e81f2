"""GloFND: every anchor learns the similarity above which a candidate is a false negative.

V. Balmaseda, B. Wang, C.-L. Lin, T. Yang: Discovering Global False Negatives On the Fly for Self-supervised
Contrastive Learning, ICML 2025: the threshold is the (1 - share) quantile of the anchor's similarities over the whole
dataset, found by stochastic steps. As in the authors' code, a visit first moves the threshold, then leaves out what is
above it, and one that sets the threshold (their ``init_quantile``) takes no step. The softmax is InfoNCE's.

Otherwise than theirs: a threshold starts at its first visit, not after 15 epochs. So Adam's moments start as what they
are at the quantile, mean 0 and variance ``share (1 - share) / N``, and need no correction; theirs start at 0 and are
corrected by the number of the epoch, which at the first epochs makes a full step of each. And where a batch is too
small to show the quantile, the threshold starts beyond its largest similarity, as an exponential tail has it.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings
from .interface.per_anchor import PerAnchor


@dataclass(frozen=True)
class GloFNDSettings(InfoNCESettings):
    share: float = setting(
        0.001,
        "share of all candidates that are false negatives; the paper takes 0.0001 for 3 million pairs",
        low=0.0,
        high=0.5,
        search=Range(0.0001, 0.05, log=True),
    )
    rate: float = setting(0.05, "step size of the thresholds (Adam)", low=0.0, search=Range(0.001, 0.1, log=True))


class GloFND(PerAnchor, InfoNCE):
    """InfoNCE without ``s > lambda_i``; lambda_i by Adam on ``share - (share of negatives with s > lambda_i)``."""

    Settings = GloFNDSettings
    width = 4
    """Threshold, both moments of Adam, visits with negatives."""

    def numbers(self, view: View) -> Tensor:
        """A threshold is of an image, or of a caption: it does not depend on the partner."""
        return view.anchor_ids if view.direction == "i2t" else super().numbers(view)

    def view_loss(self, view: View) -> Tensor:
        false, state = self.step(view)
        self.keep(view, state)
        return self.against_all_but(view.positive | false, view.similarity, view.positive_similarity)

    def suspicion(self, view: View) -> Tensor:
        """The mask."""
        return self.step(view)[0].float()

    @torch.no_grad()
    def step(self, view: View) -> tuple[Tensor, Tensor]:
        """The mask ``[B, N]`` after a step of the thresholds, and the new state ``[B, 4]``."""
        kept = self.kept(view)
        negatives = torch.where(view.positive, -torch.inf, view.similarity)
        count = (~view.positive).sum(dim=1)
        threshold, first, second, visits = kept.unbind(dim=1)
        begins, sees = visits == 0, count > 0
        gradient = self.settings.share - (negatives > threshold[:, None]).sum(dim=1) / count.clamp_min(1)
        first = torch.where(begins, 0, 0.9 * first + 0.1 * gradient)
        variance = self.settings.share * (1 - self.settings.share) / count.clamp_min(1)
        second = torch.where(begins, variance, 0.98 * second + 0.02 * gradient.square())
        moved = threshold - self.settings.rate * first / (second.sqrt() + 1e-8)
        moved = torch.where(begins, self.start(negatives), moved).clamp(-1, 1)
        fresh = torch.stack([moved, first, second, visits + 1], dim=1).to(self.state.dtype)
        return negatives > moved[:, None], torch.where(sees[:, None], fresh, kept)

    def start(self, negatives: Tensor) -> Tensor:
        """``[B]``: the (1 - share) quantile of ``negatives [B, N]``."""
        columns = negatives.shape[1]
        expected = self.settings.share * columns
        count = max(1, int(expected))
        if expected >= 1 or columns < 4 or not expected:
            return negatives.topk(count, dim=1).values[:, -1]
        top = negatives.topk(math.isqrt(columns), dim=1).values.clamp_min(-1)
        excess = top[:, :-1].mean(dim=1) - top[:, -1]
        return top[:, 0] - math.log(expected) * excess
