"""SogCLR: negatives are weighed against what the anchor's negatives have been over its visits, not in this batch alone.

Z. Yuan, Y. Wu, Z.-H. Qiu, X. Du, L. Zhang, D. Zhou, T. Yang: Provable Stochastic Optimization for Global Contrastive
Learning: Small Batch Does Not Harm Performance, ICML 2022, with two modalities as in Z.-H. Qiu et al., ICML 2023. The
gradient is that of ``T log u``: the value of the loss itself means nothing, and may be negative. u is kept as its
logarithm, which needs no running maximum; a first visit sets it. Captions of the anchor's own image are no negatives.
The code for two modalities has T 0.01 and the step 0.8.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Listwise, Range, Settings, View, setting
from .interface.per_anchor import PerAnchor


@dataclass(frozen=True)
class SogCLRSettings(Settings):
    temperature: float = setting(
        0.1, "temperature, one default for all softmax losses", low=0.01, high=10.0, search=Range(0.01, 0.5, log=True)
    )
    gamma: float = setting(
        0.8,
        "step of an anchor's mean towards that of this visit; 1 has no memory",
        low=0.01,
        high=1.0,
        search=Range(0.1, 1.0),
    )


class SogCLR(PerAnchor, Listwise):
    """``mean over negatives of w (s - s+)``, mean of both directions.

    ``w = e / u`` without gradient, ``u <- (1 - gamma) u + gamma mean over negatives of e``, ``e = e^((s - s+) / T)``.
    """

    Settings = SogCLRSettings
    width = 2
    """Logarithm of u, visits with negatives."""

    def view_loss(self, view: View) -> Tensor:
        own, temperature = view.positive_similarity, self.temperatures(view)
        logits = self.logits(view.similarity, view.positive, own, temperature)
        log_u, state = self.step(view, logits)
        self.keep(view, state)
        return self.weighted(view.similarity, own, logits, log_u)

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        """Of anchors that were never seen."""
        logits = self.logits(similarity, positive, own, torch.full_like(own, float(self.settings.temperature)))
        return self.weighted(similarity, own, logits, self.updated(logits.new_zeros(len(own), 2), logits)[0])

    def logits(self, similarity: Tensor, positive: Tensor, own: Tensor, temperature: Tensor) -> Tensor:
        """``(s - s+) / T`` ``[B, N]`` without gradient, ``-inf`` for positives."""
        above = similarity.detach() - own.detach()[:, None]
        return (above / temperature[:, None]).masked_fill(positive, -torch.inf)

    def weighted(self, similarity: Tensor, own: Tensor, logits: Tensor, log_u: Tensor) -> Tensor:
        """Scalar: the loss of anchors with these ``log u [B]``."""
        count = (logits > -torch.inf).sum(dim=1, keepdim=True).clamp_min(1)
        weights = (logits - log_u[:, None]).exp() / count
        return (weights * (similarity - own[:, None])).sum(dim=1).mean() / 2

    def temperatures(self, view: View) -> Tensor:
        """Of each anchor, ``[B]``."""
        return torch.full_like(view.own_similarity, float(self.settings.temperature))

    @torch.no_grad()
    def step(self, view: View, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of u ``[B]`` after this visit, and the state from now on ``[B, width]``."""
        before = self.kept(view).to(logits.dtype)
        log_u, sees = self.updated(before, logits)
        fresh = torch.stack([log_u, before[:, 1] + 1], dim=1)
        return log_u, torch.where(sees[:, None], fresh, before)

    def updated(self, before: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The new log u ``[B]`` from the old and the visits, ``[B, 2]``; and whether the anchor sees a negative."""
        gamma, count = float(self.settings.gamma), (logits > -torch.inf).sum(dim=1)
        now = logits.logsumexp(dim=1) - count.clamp_min(1).log()
        sees, old = count > 0, math.log1p(-gamma) if gamma < 1 else -math.inf
        mixed = torch.logaddexp(before[:, 0] + old, now + math.log(gamma))
        log_u = torch.where(before[:, 1] == 0, now, mixed)
        return torch.where(sees, log_u, 0), sees
