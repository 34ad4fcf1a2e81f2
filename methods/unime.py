"""UniME's filter: candidates well above the positive are taken for false negatives, the hardest of the rest are kept.

T. Gu, K. Yang, Z. Feng, X. Wang, Y. Zhang, D. Long, Y. Chen, W. Cai, J. Deng: Breaking the Modality Barrier: Universal
Embedding Learning with Multimodal LLMs, 2025 (arXiv 2504.17432). They train queries against keys, here both
directions count. Their T is 0.02. An anchor with fewer candidates left has fewer negatives; theirs fills up with some
that were filtered out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import ALIKE, Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class UniMESettings(InfoNCESettings):
    distance: float = setting(
        0.1, "candidates above s+ plus this are left out", low=-2.0, high=2.0, search=Range(0.0, 0.3)
    )
    k: int = setting(8, "negatives kept, the most similar of those not left out", low=1, search=Range(1, 128, log=True))


class UniME(InfoNCE):
    """InfoNCE against the k most similar negatives with ``s <= s+ + distance``."""

    Settings = UniMESettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        left_out = positive | (similarity.detach() > self.cap(own.detach()))
        logits = (similarity * self.scale).masked_fill(left_out, -torch.inf)
        kept = logits.topk(min(self.settings.k, logits.shape[1]), dim=1, sorted=False).values
        pushed, partner = kept.logsumexp(dim=1), own * self.scale
        return (torch.logaddexp(pushed, partner) - partner).mean() / 2

    def suspicion(self, view: View) -> Tensor:
        """Whether it is above the cap."""
        return (view.similarity.detach() > self.cap(view.own_similarity)).float()

    def cap(self, own: Tensor) -> Tensor:
        """``[B, 1]``: the largest similarity allowed, however it is rounded."""
        return own[:, None] + float(self.settings.distance) + ALIKE
