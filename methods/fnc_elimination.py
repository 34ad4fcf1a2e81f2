"""FNC elimination: candidates that resemble any caption of the anchor's image are no negatives.

T. Huynh, S. Kornblith, M. R. Walter, M. Maire, M. Khademi: Boosting Contrastive Self-Supervised Learning with False
Negative Cancellation, WACV 2022, sections 3.1-3.2. Their support set is more views of the anchor's picture; here it
is the image's captions, and a candidate is compared by its caption, in the features of a frozen model.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class FNCSettings(InfoNCESettings):
    k: int = setting(
        10, "at most this many candidates are taken for false negatives", low=1, search=Range(1, 50, log=True)
    )
    threshold: float = setting(
        0.7, "similarity, in the guide's features, above which they are", low=-1.0, high=1.0, search=Range(0.3, 0.95)
    )


class FNCElimination(InfoNCE):
    """InfoNCE without ``F = {j in top-k: max over the image's captions of guide(caption, j) > threshold}``."""

    Settings = FNCSettings
    needs = ("guide",)

    def view_loss(self, view: View) -> Tensor:
        return self.against_all_but(
            view.positive | self.false_negatives(view), view.similarity, view.positive_similarity
        )

    def suspicion(self, view: View) -> Tensor:
        """The mask."""
        return self.false_negatives(view).float()

    @torch.no_grad()
    def false_negatives(self, view: View) -> Tensor:
        """F as a mask ``[B, N]``, without the known positives."""
        likeness = torch.where(view.positive, -torch.inf, view.support_likeness)
        top = likeness.topk(min(self.settings.k, likeness.shape[1]), dim=1)
        return torch.zeros_like(view.positive).scatter_(1, top.indices, top.values > self.settings.threshold)
