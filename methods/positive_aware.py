"""Positive-aware: the hardest negative that is less similar than the positive by a distance.

The cap of ``mine_hard_negatives`` in sentence-transformers, and of NV-Retriever (Moreira et al., 2024): candidates
above ``s+ - distance`` are taken for false negatives. Where none is left, the least similar negative is taken.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import ALIKE, Candidates, Range, Sampler, TripletSettings, View, largest, setting


@dataclass(frozen=True)
class PositiveAwareSettings(TripletSettings):
    distance: float = setting(
        0.05, "candidates nearer to the positive's similarity than this are skipped", low=0.0, search=Range(0.0, 0.3)
    )


class PositiveAware(Sampler):
    """argmax of s over negatives with ``s <= s+ - distance``."""

    Settings = PositiveAwareSettings

    def suspicion(self, view: View) -> Tensor:
        """Whether it is above the cap."""
        return (view.similarity > self.cap(view.own_similarity)).float()

    def choose(self, candidates: Candidates) -> Tensor:
        similarity, cap = candidates.similarity, self.cap(candidates.positive_similarity)
        index = largest(torch.where(similarity <= cap, similarity, -torch.inf))
        best = similarity.gather(1, index[:, None])
        none = ((best > cap) | (best == -torch.inf))[:, 0]
        return torch.where(none, candidates.easiest, index)

    def cap(self, own: Tensor) -> Tensor:
        """``[B, 1]``: the largest similarity allowed; at distance 0 a copy of the partner is, however it is rounded."""
        return own[:, None] - float(self.settings.distance) + ALIKE
