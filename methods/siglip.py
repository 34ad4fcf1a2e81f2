"""SigLIP: each pair on its own is a yes-or-no question.

X. Zhai, B. Mustafa, A. Kolesnikov, L. Beyer: Sigmoid Loss for Language Image Pre-Training, ICCV 2023. All pairs of
equal image id are a yes. The factor stays at most 100, as in open_clip's training.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from .base import Extras, Listwise, Range, Settings, setting
from .info_nce import bound


@dataclass(frozen=True)
class SigLIPSettings(Settings):
    scale: float = setting(
        10.0,
        "factor of the similarity at the start; learnt, never above 100",
        low=0.1,
        high=100.0,
        search=Range(2.0, 50.0, log=True),
    )
    bias: float = setting(-10.0, "bias at the start; learnt", low=-50.0, high=50.0, search=Range(-20.0, 0.0))


class SigLIP(Listwise):
    """``-1/B sum log sigmoid(z (t s + b))``, z = 1 for positives and -1 else; mean of both directions."""

    Settings = SigLIPSettings

    def __init__(self, **changes: object) -> None:
        super().__init__(**changes)
        self.log_scale = nn.Parameter(torch.tensor(math.log(self.settings.scale)))
        self.bias = nn.Parameter(torch.tensor(self.settings.bias))

    def begin(self, image: Tensor, text: Tensor, ids: Tensor, extras: Extras) -> None:
        bound(self.log_scale)

    def report(self) -> dict[str, float]:
        bound(self.log_scale)
        return {"scale": float(self.log_scale.detach().exp()), "bias": float(self.bias.detach())}

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        logits = similarity * self.log_scale.exp() + self.bias
        return softplus(torch.where(positive, -logits, logits)).sum(dim=1).mean() / 2
