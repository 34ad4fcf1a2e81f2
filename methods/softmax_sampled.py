"""Softmax-sampled: the more similar, the likelier, as ALBEF draws negatives for its matching head.

J. Li et al.: Align before Fuse: Vision and Language Representation Learning with Momentum Distillation (ALBEF),
NeurIPS 2021: probability ``softmax(s / temperature)`` over the other images.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Candidates, Range, Sampler, TripletSettings, draw, setting


@dataclass(frozen=True)
class SoftmaxSampledSettings(TripletSettings):
    temperature: float = setting(0.07, "temperature of the softmax", low=0.001, search=Range(0.01, 1.0, log=True))


class SoftmaxSampled(Sampler):
    """P(draw) ~ ``exp(s / temperature)`` over negatives."""

    Settings = SoftmaxSampledSettings

    def choose(self, candidates: Candidates) -> Tensor:
        similarity = candidates.similarity
        top = similarity.amax(dim=1, keepdim=True)
        top = torch.where(top > -torch.inf, top, 0)
        return draw(similarity.sub(top).div_(self.settings.temperature).exp_(), candidates.generator)
