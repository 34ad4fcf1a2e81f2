"""CyCLIP: InfoNCE, and images should be to each other's captions, and to each other, as the captions are.

S. Goel, H. Bansal, S. Bhatia, R. A. Rossi, V. Vinay, A. Grover: CyCLIP: Cyclic Contrastive Language-Image Pretraining,
NeurIPS 2022. Of an anchor i and a candidate j: ``(s_ij - s_ji)^2`` and ``(image_i . image_j - text_i .
text_j)^2``, which needs no other anchor. The authors' code weighs the mean over all pairs by a quarter of the batch,
of 128 pairs on each device: 32, whatever N here. Their temperature is learnt from 0.07 on. With a memory, which they
do not have, the anchor follows what the momentum model makes of the pair: ``s_ji`` and the partner's side are its own.
"""

from dataclasses import dataclass

from torch import Tensor

from .base import Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class CyCLIPSettings(InfoNCESettings):
    across: float = setting(
        32.0,
        "weight of the mean squared difference of both similarities of two pairs across modalities",
        low=0.0,
        search=Range(1.0, 200.0, log=True),
    )
    within: float = setting(
        32.0, "the same of their two similarities within a modality", low=0.0, search=Range(1.0, 200.0, log=True)
    )


class CyCLIP(InfoNCE):
    """``InfoNCE + across mean_j (s_ij - s_ji)^2 + within mean_j (image_i image_j - text_i text_j)^2``, halved."""

    Settings = CyCLIPSettings

    @property
    def looks_within(self) -> bool:
        return bool(self.settings.within)

    def view_loss(self, view: View) -> Tensor:
        loss, learns = super().view_loss(view), view.candidates.requires_grad  # not those of a memory
        if self.settings.across:
            both = learns or view.counterparts.requires_grad
            back = view.partners @ view.counterparts.T if both else view.reverse_similarity
            loss = loss + float(self.settings.across) * apart(view.similarity, back) / 2
        if self.settings.within:
            others = view.partners @ view.candidates.T if learns else view.partner_similarity
            loss = loss + float(self.settings.within) * apart(view.within_similarity, others) / 2
        return loss


def apart(one: Tensor, other: Tensor) -> Tensor:
    """The mean squared difference of two ``[B, N]``."""
    return (one - other.to(one.dtype)).square().mean()
