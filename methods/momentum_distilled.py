"""Momentum distillation: targets are partly the labels, partly what the momentum model believes.

J. Li et al.: Align before Fuse: Vision and Language Representation Learning with Momentum Distillation (ALBEF),
NeurIPS 2021, eq. 6, as fine-tuned for retrieval: every caption of the image shares the label, and the momentum
model's share grows over the first steps. Without a memory the model itself is the teacher.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Extras, Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class MomentumDistilledSettings(InfoNCESettings):
    share: float = setting(0.4, "share of the momentum model in the targets", low=0.0, high=1.0, search=Range(0.1, 0.8))
    ramp: int = setting(200, "steps over which the share grows from 0; ALBEF takes an epoch", low=1)


class MomentumDistilled(InfoNCE):
    """Cross-entropy with target ``share softmax(S_momentum / T) + (1 - share) labels``, mean of both directions."""

    Settings = MomentumDistilledSettings
    steps: Tensor

    def __init__(self, **changes: object) -> None:
        super().__init__(**changes)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def begin(self, image: Tensor, text: Tensor, ids: Tensor, extras: Extras) -> None:
        super().begin(image, text, ids, extras)
        self.steps = self.steps + 1  # not in place: a compiled backward would compute the share from the next number

    def view_loss(self, view: View) -> Tensor:
        with torch.no_grad():
            believed = self.suspicion(view)
            labels = view.positive / view.positive.sum(dim=1, keepdim=True)
            share = self.settings.share * ((self.steps - 1) / self.settings.ramp).clamp_max(1).to(believed.dtype)
            target = torch.lerp(labels.to(believed.dtype), believed, share)
        return self.cross_entropy(view.similarity, target)

    @torch.no_grad()
    def suspicion(self, view: View) -> Tensor:
        """What the momentum model believes: a row sums to 1."""
        return (view.momentum_similarity * self.scale).softmax(dim=1)
