"""Polynomial loss: the weights of the positive and of the hardest negative are polynomials of their similarity.

J. Wei, X. Xu, Y. Yang, Y. Ji, Z. Wang, H. T. Shen: Universal Weighting Metric Learning for Cross-Modal Matching, CVPR
2020 (UWML), the form with the hardest negative. The authors' repository has no loss; the numbers are those that DBL's
code compares with. An anchor whose hardest negative is below the positive by the margin pays nothing; neither does a
part where its polynomial is below 0. So a hardest negative below 0.1 would be pulled, as the polynomial has it.
"""

import torch
from torch import Tensor

from .base import Candidates, Sampler, TripletSettings

POSITIVE = (0.2, -0.7, 0.5)
NEGATIVE = (0.9, -0.4, 0.03)
"""Coefficients from the square down."""


class PolyLoss(Sampler):
    """``[.2 s+^2 - .7 s+ + .5]_+ + [.9 s-^2 - .4 s- + .03]_+`` where ``s- + margin > s+``, with the hardest ``s-``."""

    Settings = TripletSettings

    def choose(self, candidates: Candidates) -> Tensor:
        return candidates.hardest

    def pair_loss(self, positive: Tensor, negative: Tensor) -> Tensor:
        cost = polynomial(positive, POSITIVE) + polynomial(negative, NEGATIVE)
        return torch.where(negative + self.settings.margin > positive, cost, 0)


def polynomial(values: Tensor, coefficients: tuple[float, float, float]) -> Tensor:
    """Not below 0."""
    square, linear, constant = coefficients
    return torch.relu(square * values.square() + linear * values + constant)
