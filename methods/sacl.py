"""SACL's ratio rule: only the candidates least like the anchor's own partner are negatives.

Z. Song, J. Zhang, Y. Wang, J. Fan, L. Zhang: Enhancing Sound Source Localization via False Negative Elimination,
T-PAMI 2024 (SACL). Likeness is measured within one modality, by a frozen model: captions with the anchor image's
caption, pictures with the anchor caption's picture. The softmax and its temperature are InfoNCE's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class SACLSettings(InfoNCESettings):
    ratio: float = setting(
        0.75, "share of the candidates, the least alike, that are negatives", low=0.01, high=1.0, search=Range(0.5, 1.0)
    )


class SACL(InfoNCE):
    """InfoNCE over the ``floor(ratio N)`` candidates with the smallest guide(partner, candidate)."""

    Settings = SACLSettings
    needs = ("guide",)

    def view_loss(self, view: View) -> Tensor:
        left_out = view.positive | self.alike(view)
        return self.against_all_but(left_out, view.similarity, view.positive_similarity)

    def suspicion(self, view: View) -> Tensor:
        """The mask."""
        return self.alike(view).float()

    @torch.no_grad()
    def alike(self, view: View) -> Tensor:
        """The candidates left out, as a mask ``[B, N]``; some are known positives."""
        likeness = view.likeness
        kept = max(1, int(self.settings.ratio * likeness.shape[1]))
        most = likeness.topk(likeness.shape[1] - kept + 1, dim=1, sorted=False).values  # kthvalue is not deterministic
        return likeness > most.amin(dim=1, keepdim=True)
