"""CUSA: both softmaxes, across the modalities and within the anchor's own, follow what a guide finds alike.

H. Huang, Z. Nie, Z. Wang, Z. Shang: Cross-Modal and Uni-Modal Soft-Label Alignment for Image-Text Retrieval, AAAI
2024: the teacher of each direction is the guide's similarity of the anchor's modality. Weights and both
temperatures of the soft labels are those of their CLIP models, where the student's is learnt from 0.45 on and their
InfoNCE's from 0.05 on. Their code divides InfoNCE by the batch, so that the soft labels weigh 128 times as much as
the paper says; here they weigh what it says. Their similarity within a modality has heads of its own; here it is that
of the joint space.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from .base import Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class CUSASettings(InfoNCESettings):
    across: float = setting(
        0.1, "weight of the soft labels across modalities", low=0.0, search=Range(0.01, 20.0, log=True)
    )
    within: float = setting(
        0.5, "weight of the soft labels within the anchor's modality", low=0.0, search=Range(0.01, 20.0, log=True)
    )
    student: float = setting(
        0.45, "temperature of the softmaxes that follow the guide", low=0.01, high=10.0, search=Range(0.05, 1.0)
    )
    teacher: float = setting(1.0, "temperature of the guide", low=0.01, high=10.0, search=Range(0.05, 1.0, log=True))


class CUSA(InfoNCE):
    """``InfoNCE + across KL(guide || softmax(s / student)) + within KL(guide || softmax(own modality / student))``.

    Mean of both directions; the guide's share is ``softmax(guide(anchor, candidate's partner) / teacher)``.
    """

    Settings = CUSASettings
    needs = ("guide",)

    @property
    def looks_within(self) -> bool:
        return bool(self.settings.within)

    def view_loss(self, view: View) -> Tensor:
        loss, target = super().view_loss(view), self.suspicion(view).to(view.similarity.dtype)
        if self.settings.across:
            loss = loss + float(self.settings.across) * self.distance(view.similarity, target) / 2
        if self.settings.within:
            loss = loss + float(self.settings.within) * self.distance(view.within_similarity, target) / 2
        return loss

    def distance(self, similarity: Tensor, target: Tensor) -> Tensor:
        """The mean divergence of the softmaxes of ``[B, N]`` from the targets."""
        return kl_div((similarity / float(self.settings.student)).log_softmax(dim=1), target, reduction="batchmean")

    @torch.no_grad()
    def suspicion(self, view: View) -> Tensor:
        """The guide's share of each candidate: a row sums to 1."""
        return (view.within_likeness / float(self.settings.teacher)).softmax(dim=1)
