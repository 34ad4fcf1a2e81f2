"""Multi-positive InfoNCE: every caption of the anchor's image is a target, with equal shares.

As ALBEF fine-tunes for retrieval (J. Li et al., NeurIPS 2021), and SupCon's outer sum (P. Khosla et al., NeurIPS 2020).
"""

from torch import Tensor

from .info_nce import InfoNCE


class MultiPositive(InfoNCE):
    """Cross-entropy with target ``1 / #positives`` on each positive, mean of both directions."""

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        return self.cross_entropy(similarity, positive / positive.sum(dim=1, keepdim=True))
