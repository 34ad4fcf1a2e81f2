"""Circle: every pair is weighted by how far it still is from where it should be.

Y. Sun, C. Cheng, Y. Zhang, C. Zhang, L. Zheng, Z. Wang, Y. Wei: Circle Loss: A Unified Perspective of Pair Similarity
Optimization, CVPR 2020, as in pytorch-metric-learning, whose margin is the default. Every caption of the
image is a positive. The temperature, 1 / gamma, is that of all softmax losses here; the paper has gamma 80 with margin
0.4 for retrieval of alike pictures, 128 and 256 with 0.25 for persons and faces. As the weights are at most
``1 + margin``, the softmax over negatives is flatter than InfoNCE's at the same temperature.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .base import Listwise, Range, Settings, setting


@dataclass(frozen=True)
class CircleSettings(Settings):
    temperature: float = setting(
        0.1,
        "temperature, 1 / gamma; one default for all softmax losses",
        low=0.001,
        high=10.0,
        search=Range(0.005, 0.5, log=True),
    )
    margin: float = setting(
        0.4,
        "positives should be above 1 - margin, negatives below margin",
        low=-1.0,
        high=1.0,
        search=Range(0.0, 0.6),
    )


class Circle(Listwise):
    """``softplus(logsumexp over negatives of w (s - m) / T + logsumexp over positives of -w+ (s+ - 1 + m) / T)``.

    ``w = [s + m]_+`` and ``w+ = [1 + m - s+]_+`` are weights without gradient; mean of both directions.
    """

    Settings = CircleSettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        margin, temperature = float(self.settings.margin), float(self.settings.temperature)
        seen = similarity.detach()
        weight = torch.where(positive, (seen - 1 - margin).clamp_max(0), (seen + margin).clamp_min(0))
        logits = weight * torch.where(positive, similarity - (1 - margin), similarity - margin) / temperature
        pulled, pushed = (logits.masked_fill(out, -torch.inf).logsumexp(dim=1) for out in (~positive, positive))
        return softplus(pulled + pushed).mean() / 2
