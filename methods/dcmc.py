"""DCMC: soft targets by intra-modal similarity, with less for the nearest other sample, a likely false negative.

R. Fan, M. Lin, Z. Tian, X. Yan, S. Zhu, Q. Zou, PLoS Computational Biology 21(12), 2025: progressive screening of false
negatives in multi-omics clustering. Plain targets first, then rows of ``S = exp(-(2 - 2 cos) / width)`` among the
candidates' own modality (theirs: another view); the nearest other sample's entry is weighted down. The plain phase
ends by calls of ``start_epoch``. Their mean over all entries is a mean over anchors here, their T is 0.5.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings
from .interface.epochs import CountsEpochs


@dataclass(frozen=True)
class DCMCSettings(InfoNCESettings):
    width: float = setting(
        0.1, "squared distance at which a target falls to 1 / e", low=0.001, search=Range(0.02, 0.5, log=True)
    )
    reach: float = setting(
        0.7, "a sample is a false negative if its S is nearer to the partner's than this", low=0.0, high=1.0
    )
    plain_epochs: int = setting(1, "epochs of the method with plain targets", low=0)


class DCMC(CountsEpochs, InfoNCE):
    """``-sum_j M_ij log softmax(s / T)_ij``, ``M ~ S`` (rows sum to 1), the false negative's entry by its weight."""

    Settings = DCMCSettings

    def view_loss(self, view: View) -> Tensor:
        plain = (view.positive / view.positive.sum(dim=1, keepdim=True)).to(view.similarity.dtype)
        target = torch.where(self.epochs > self.settings.plain_epochs, self.targets(view), plain)
        return self.cross_entropy(view.similarity, target)

    def suspicion(self, view: View) -> Tensor:
        """The targets: a row sums to 1."""
        return self.targets(view)

    @torch.no_grad()
    def targets(self, view: View) -> Tensor:
        """M ``[B, N]``."""
        share = ((view.partner_similarity - 1) * (2 / float(self.settings.width))).softmax(
            dim=1
        )  # S, rows summing to 1
        own = share.diagonal(view.start)[:, None]
        nearest = torch.where(view.positive, -torch.inf, share).argmax(dim=1, keepdim=True)
        other = share.gather(1, nearest)
        total = share.exp().sum(dim=1, keepdim=True) - own.exp()
        false = ((own - other).abs() < self.settings.reach) & ~view.positive.gather(1, nearest)
        less = torch.where(false, 1 - other.exp() / total, 1)
        target = share.scatter(1, nearest, other * less)
        return target / target.sum(dim=1, keepdim=True)
