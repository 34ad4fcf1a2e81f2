"""InfoNCE: softmax cross-entropy of the partner against all negatives; with ``learn=True`` as in CLIP.

A. Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, ICML 2021. Other captions
of the anchor's image are neither targets nor negatives. CLIP learns T from 0.07 on. Here every softmax loss begins at
one fixed T, as what a loss makes of false negatives cannot be told from what another T makes; docs/methods.md has the
papers' own.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .base import Extras, Listwise, Range, Settings, setting


@dataclass(frozen=True)
class InfoNCESettings(Settings):
    temperature: float = setting(
        0.1,
        "temperature, one default for all softmax losses; at the start, where it is learnt",
        low=0.01,
        high=10.0,
        search=Range(0.01, 0.5, log=True),
    )
    learn: bool = setting(False, "whether the temperature is learnt; never below 0.01")


LARGEST = math.log(100)
"""Of the logarithm of a learnt scale: CLIP's bound."""


@torch.no_grad()
def bound(log_scale: Tensor) -> None:
    """Put a learnt scale back to its bound, in place, as CLIP does: a clamp in the graph has no gradient beyond it."""
    log_scale.clamp_max_(LARGEST)


class InfoNCE(Listwise):
    """``-log(exp(s+ / T) / (exp(s+ / T) + sum over negatives of exp(s / T)))``, mean of both directions."""

    Settings = InfoNCESettings

    def __init__(self, **changes: object) -> None:
        super().__init__(**changes)
        scale = torch.tensor(-math.log(self.settings.temperature))
        self.log_scale = nn.Parameter(scale, requires_grad=self.settings.learn)

    def report(self) -> dict[str, float]:
        bound(self.log_scale)  # the last step of an epoch may have left it beyond
        return {"temperature": 1 / float(self.scale.detach())}

    def begin(self, image: Tensor, text: Tensor, ids: Tensor, extras: Extras) -> None:
        bound(self.log_scale)

    @property
    def scale(self) -> Tensor:
        """1 / T, at most 100 from the beginning of a step on."""
        return self.log_scale.exp()

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        return self.against_all_but(positive, similarity, own)

    def against_all_but(self, left_out: Tensor, similarity: Tensor, own: Tensor) -> Tensor:
        """The loss against the anchor's own partner and all candidates but those of a mask ``[B, N]``."""
        partner = own * self.scale
        pushed = (similarity * self.scale).masked_fill(left_out, -torch.inf).logsumexp(dim=1)
        return (torch.logaddexp(pushed, partner) - partner).mean() / 2

    def cross_entropy(self, similarity: Tensor, target: Tensor) -> Tensor:
        """The softmax against targets ``[B, N]`` whose rows sum to 1."""
        logits = similarity * self.scale
        return (logits.logsumexp(dim=1) - (logits * target).sum(dim=1)).mean() / 2
