"""Hardest negative: the most similar candidate that is not a positive (VSE++).

F. Faghri, D. J. Fleet, J. R. Kiros, S. Fidler: VSE++: Improving Visual-Semantic Embeddings with Hard Negatives,
BMVC 2018, eq. 6. With a memory, the hardest of the whole memory.
"""

from torch import Tensor

from .base import Candidates, Sampler


class Hardest(Sampler):
    """argmax over negatives of s(anchor, candidate)."""

    def choose(self, candidates: Candidates) -> Tensor:
        return candidates.hardest
