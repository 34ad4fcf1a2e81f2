"""Random negative: every candidate that is not a positive is as likely. The baseline."""

from torch import Tensor

from .base import Candidates, Sampler, draw


class Random(Sampler):
    """Uniform over negatives."""

    def choose(self, candidates: Candidates) -> Tensor:
        return draw((~candidates.positive).float(), candidates.generator)
