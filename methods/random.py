"""Random negative: every candidate that is not a positive is as likely. The baseline."""

import torch
from torch import Tensor

from methods.base import Candidates, Sampler, draw


class Random(Sampler):
    """Uniform over negatives."""

    def choose(self, candidates: Candidates) -> Tensor:
        return draw((candidates.similarity > -torch.inf).float(), candidates.generator)
