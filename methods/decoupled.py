"""Decoupled contrastive learning: InfoNCE without the positive in the denominator, so that easy pairs pull on.

C.-H. Yeh, C.-Y. Hong, Y.-C. Hsu, T.-L. Liu, Y. Chen, Y. LeCun: Decoupled Contrastive Learning, ECCV 2022: DCL, and,
with ``weighted``, DCLW, which pulls unlike pairs more. Its weight is the only thing that an anchor has of the others: a
mean over the batch, taken at the beginning of a step and without gradient. That is the paper's formula; public code has
a softmax in its place, with which all weights are nearly 2. Negatives are of the other modality, the paper's of both
views. An anchor without negatives pays nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Choice, Extras, Range, setting
from .info_nce import InfoNCE, InfoNCESettings
from .interface.view import single


@dataclass(frozen=True)
class DecoupledSettings(InfoNCESettings):
    weighted: bool = setting(False, "whether unlike pairs are pulled more (DCLW)", search=Choice((False, True)))
    sigma: float = setting(
        0.5, "width of these weights; large: all are 1", low=0.05, high=100.0, search=Range(0.1, 2.0, log=True)
    )


class Decoupled(InfoNCE):
    """``-w s+ / T + log(sum e-)``; w is 1, or ``2 - exp(s+ / sigma) / mean over the batch of exp(s+ / sigma)``."""

    Settings = DecoupledSettings
    level: Tensor

    def __init__(self, **changes: object) -> None:
        super().__init__(**changes)
        self.register_buffer("level", torch.ones(()), persistent=False)

    @torch.no_grad()
    def begin(self, image: Tensor, text: Tensor, ids: Tensor, extras: Extras) -> None:
        super().begin(image, text, ids, extras)
        if self.settings.weighted:
            self.level.copy_(self.closeness(single((image * text).sum(dim=1))).mean())

    def closeness(self, own: Tensor) -> Tensor:
        return (own / float(self.settings.sigma)).exp()

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        weight = 2 - self.closeness(own.detach()) / self.level if self.settings.weighted else 1
        pushed = (similarity * self.scale).masked_fill(positive, -torch.inf).logsumexp(dim=1)
        return torch.where(positive.all(dim=1), 0, pushed - weight * own * self.scale).mean() / 2
