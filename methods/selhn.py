"""SelHN: the hardest negative, but the mean of hinges where the hardest is about as similar as the positive.

RVSE++, arXiv 2303.00181: near a tie the gradient of the hardest triplet vanishes in direction, and training sticks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Listwise, Range, TripletSettings, largest, setting


@dataclass(frozen=True)
class SelHNSettings(TripletSettings):
    epsilon: float = setting(
        0.01,
        "distance of hardest and positive below which the mean is used",
        low=0.0,
        search=Range(0.001, 0.1, log=True),
    )


class SelHN(Listwise):
    """``[margin + max s - s+]_+``, or the mean of hinges over negatives where ``|s+ - max s| < epsilon``."""

    Settings = SelHNSettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        margin = self.settings.margin
        index = largest(torch.where(positive, -torch.inf, similarity.detach()))
        negative = ~positive.gather(1, index[:, None])[:, 0]
        hardest = similarity.gather(1, index[:, None])[:, 0]
        hinge = torch.where(positive, 0, torch.relu(margin + similarity - own[:, None]))
        mean = hinge.sum(dim=1) / (~positive).sum(dim=1).clamp_min(1)
        stuck = (own - hardest).abs() < self.settings.epsilon
        return (torch.where(stuck, mean, torch.relu(margin + hardest - own)) * negative).mean()
