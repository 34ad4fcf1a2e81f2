"""Pseudo-positives: what is as similar as the partner gets the positive label, in a second yes-or-no loss.

S. Chun: Improved Probabilistic Image-Text Representations (PCME++), ICLR 2024. Theirs are distributions; of points
their distance is ``2 - 2 s``, so that their logit, of scale 5 and shift 5, is ``10 s - 5``, and there are no variances
to bound. Theirs is the mean over all pairs of a batch of 128: here the labelled loss is a sum over candidates, as
SigLIP's, and the second weighs what it weighs among 128, whatever N. All pairs of equal image id are a yes in both.
Where partners rank low, as in the first steps, most of the other candidates get the label.
"""

from dataclasses import dataclass

from torch import Tensor

from .base import ALIKE, Range, View, setting
from .siglip import SigLIP, SigLIPSettings

BATCH = 128
"""Candidates in the paper."""


@dataclass(frozen=True)
class PseudoPositivesSettings(SigLIPSettings):
    bias: float = setting(-5.0, "bias at the start; learnt", low=-50.0, high=50.0, search=Range(-20.0, 0.0))
    alpha: float = setting(
        0.1,
        "weight of the loss with pseudo-positives, among 128 candidates",
        low=0.0,
        search=Range(0.01, 1.0, log=True),
    )


class PseudoPositives(SigLIP):
    """SigLIP's loss + ``alpha 128 / N`` times the same with ``z = 1`` also where ``s >= s+``."""

    Settings = PseudoPositivesSettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        pseudo = positive | self.as_similar(similarity, own)
        weight = float(self.settings.alpha) * BATCH / similarity.shape[1]
        labelled = super().direction_loss(similarity, positive, own)
        return labelled + weight * super().direction_loss(similarity, pseudo, own)

    def as_similar(self, similarity: Tensor, own: Tensor) -> Tensor:
        """Mask ``[B, N]``; a copy of the partner is, however it is rounded."""
        return similarity.detach() >= own.detach()[:, None] - ALIKE

    def suspicion(self, view: View) -> Tensor:
        """The mask."""
        return self.as_similar(view.similarity, view.own_similarity).float()
