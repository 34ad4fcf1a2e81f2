"""CRCL: each pair has a label that decays where the model does not find it, and a loss that wrong pairs bend little.

Y. Qin, Y. Sun, D. Peng, J. T. Zhou, X. Peng, P. Hu: Cross-modal Active Complementary Learning with Self-refining
Correspondence, NeurIPS 2023. A pair's label y is 1 at first, takes a step to its softmax share at each visit, and is 0
below a bound; after the first epochs, in which it stays, it starts from the share it has then. The share is the mean of
both directions': the other one's is taken as the encoder of the candidates sees it, in the batch the same encoder.
Their T is 0.05, in the batch of 128 alone: with many candidates shares, and so labels, fall below the bound, and the
complementary part is left alone. Other captions of the image are no negatives; theirs are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings
from .interface.epochs import CountsEpochs
from .interface.per_anchor import PerAnchor


@dataclass(frozen=True)
class CRCLSettings(InfoNCESettings):
    complement: float = setting(5.0, "weight of the complementary part", low=0.0, search=Range(1.0, 20.0, log=True))
    momentum: float = setting(
        0.8, "share of its label that a pair keeps at a visit", low=0.0, high=1.0, search=Range(0.5, 0.95)
    )
    least: float = setting(0.1, "labels below this are 0", low=0.0, high=1.0)
    plain_epochs: int = setting(2, "epochs of the method in which labels stay", low=0)


class CRCL(CountsEpochs, PerAnchor, InfoNCE):
    """``-y log p+ + complement (sum over negatives of tan p) / (sum of all tan p)^(1 - y)``, mean of both directions.

    ``y <- momentum y + (1 - momentum) p+``, and 0 where that is below ``least``.
    """

    Settings = CRCLSettings
    width = 2
    """``1 - y``, visits."""

    def report(self) -> dict[str, float]:
        """``label`` is the mean of all pairs seen so far."""
        doubt, visits = self.state.unbind(dim=2)
        return super().report() | {"label": 1 - float(doubt.sum() / (visits > 0).sum().clamp_min(1))}

    def view_loss(self, view: View) -> Tensor:
        log_shares = self.log_shares(view, view.similarity)
        log_own, tangents = log_shares.diagonal(view.start), log_shares.exp().tan()
        label, state = self.step(view, log_own.detach())
        self.keep(view, state)
        every = tangents.sum(dim=1)
        complement = (every - tangents.diagonal(view.start)) / every ** (1 - label)
        return (float(self.settings.complement) * complement - label * log_own).mean() / 2

    def log_shares(self, view: View, similarity: Tensor) -> Tensor:
        """Logarithms of the softmax of the partner and the negatives, ``[B, N]``; ``-inf`` for the other positives."""
        others = view.positive.clone()
        others.diagonal(view.start).fill_(False)
        return (similarity * self.scale).masked_fill(others, -torch.inf).log_softmax(dim=1)

    @torch.no_grad()
    def step(self, view: View, log_own: Tensor) -> tuple[Tensor, Tensor]:
        """The labels ``[B]`` of pairs with these shares, and the state from now on ``[B, 2]``."""
        back = self.log_shares(view, view.reverse_similarity.to(log_own.dtype)).diagonal(view.start)
        share = torch.lerp(log_own.exp(), back.exp(), 0.5)
        doubt, visits = self.kept(view).to(share.dtype).unbind(dim=1)
        refined = torch.lerp(share, 1 - doubt, float(self.settings.momentum))
        refined = torch.where(refined < float(self.settings.least), 0, refined)
        epoch, plain = self.epochs.clamp_min(1), self.settings.plain_epochs
        label = torch.where(epoch > plain, refined, 1 - doubt)
        return label, torch.stack([1 - torch.where(epoch == plain, share, label), visits + 1], dim=1)
