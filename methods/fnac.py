"""FNAC: what is alike within a modality should be alike across: the softmax follows the intra-modal one.

W. Sun, J. Zhang, J. Wang, Z. Liu, Y. Zhong, T. Feng, Y. Guo, Y. Zhang, N. Barnes: Learning Audio-Visual Source
Localization via False Negative Aware Contrastive Learning, CVPR 2023, eq. 5-8 (FNS). False negatives are not removed;
nothing is detached. Each direction's softmax follows its own candidates' modality. The paper's T, of
both softmaxes, is 0.03; its third term (true negatives by image regions) has no counterpart here.
"""

from dataclasses import dataclass

from torch import Tensor

from .base import Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class FNACSettings(InfoNCESettings):
    weight: float = setting(
        100 / 128,
        "weight of the distance of the two rows; the paper's 100 on the mean over 128 entries, whatever N",
        low=0.0,
        search=Range(0.05, 5.0, log=True),
    )


class FNAC(InfoNCE):
    """``InfoNCE + weight sum_j |softmax(partner . candidate / T) - softmax(anchor . candidate / T)|_j``, halved."""

    Settings = FNACSettings

    def view_loss(self, view: View) -> Tensor:
        shares = (view.similarity * self.scale).softmax(dim=1)
        distance = (self.suspicion(view) - shares).abs().sum(dim=1).mean()
        return super().view_loss(view) + float(self.settings.weight) * distance / 2

    def suspicion(self, view: View) -> Tensor:
        """What the anchor's softmax should follow, that of its partner; with gradient: a row sums to 1."""
        learns = view.candidates.requires_grad  # not those of a memory
        adjacency = view.partners @ view.candidates.T if learns else view.partner_similarity
        return (adjacency.to(view.similarity.dtype) * self.scale).softmax(dim=1)
