"""Distance-weighted: negatives drawn so that all distances from the anchor are as likely.

C.-Y. Wu, R. Manmatha, A. J. Smola, P. Kraehenbuehl: Sampling Matters in Deep Embedding Learning, ICCV 2017: weight
1 / q(d), with q the density of distances of random points on the n-dimensional unit sphere. The cutoff is HREM's and
LAPS's for Flickr30K; their n is 512 in any space. Where no negative is nearer than the cutoff, the hardest is taken.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Candidates, Range, Sampler, TripletSettings, draw, setting


@dataclass(frozen=True)
class DistanceWeightedSettings(TripletSettings):
    dimension: int = setting(0, "n of the sphere; 0: the joint space's own dimension", low=0)
    nearest: float = setting(0.5, "distances are clamped from below at this", low=0.01, high=2.0)
    cutoff: float = setting(
        1.7, "candidates farther than this are not drawn", low=0.1, high=2.0, search=Range(1.0, 2.0)
    )


class DistanceWeighted(Sampler):
    """``log w = (2 - n) log d - (n - 3) / 2 log(1 - d^2 / 4)``, ``d = sqrt(2 - 2 s)``; 0 from the cutoff on."""

    Settings = DistanceWeightedSettings

    def choose(self, candidates: Candidates) -> Tensor:
        weights = self.weights(candidates.similarity, self.settings.dimension or candidates.known_dimension)
        index = draw(weights, candidates.generator)
        empty = weights.gather(1, index[:, None])[:, 0] == 0
        return torch.where(empty, candidates.hardest, index)

    def weights(self, similarity: Tensor, n: int) -> Tensor:
        """Weights ``[B, N]`` on the sphere of n dimensions, the largest of a row 1; 0 for positives (``-inf``)."""
        squared = torch.rsub(similarity, 2, alpha=2).clamp_min_(self.settings.nearest**2)  # d^2
        far = squared >= self.settings.cutoff**2
        log_weight = squared.log().mul_((2 - n) / 2)
        log_weight.sub_(torch.rsub(squared, 1, alpha=0.25).clamp_min_(1e-6).log_(), alpha=(n - 3) / 2)
        torch.where(far, log_weight.new_full((), -torch.inf), log_weight, out=log_weight)
        top = log_weight.amax(dim=1, keepdim=True)
        return log_weight.sub_(torch.where(top > -torch.inf, top, 0)).exp_()
