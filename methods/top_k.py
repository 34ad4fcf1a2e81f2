"""Top-k random: one of the k hardest negatives, each as likely. A soft form of the hardest rule."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Candidates, Range, Sampler, TripletSettings, setting


@dataclass(frozen=True)
class TopKSettings(TripletSettings):
    k: int = setting(10, "how many of the hardest are drawn from", low=1, search=Range(2, 100, log=True))


class TopK(Sampler):
    """Uniform over the k largest s of negatives."""

    Settings = TopKSettings

    def choose(self, candidates: Candidates) -> Tensor:
        top = candidates.similarity.topk(min(self.settings.k, candidates.similarity.shape[1]), dim=1)
        clock = torch.empty_like(top.values).uniform_(generator=candidates.generator)
        place = clock.masked_fill(top.values == -torch.inf, torch.inf).argmin(dim=1, keepdim=True)
        return top.indices.gather(1, place)[:, 0]
