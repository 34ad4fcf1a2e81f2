"""Multi-similarity: positives and negatives each in a soft maximum, by how similar they are and by how they compare.

X. Wang, X. Han, W. Huang, D. Dong, M. R. Scott: Multi-Similarity Loss with General Pair Weighting for Deep Metric
Learning, CVPR 2019, as in pytorch-metric-learning. Every caption of the image is a positive, so an anchor
without a negative still pays for its positives. Their pair mining is another method's business. The temperature of the
negatives, 1 / beta, is that of all softmax losses here; the paper has 0.02 (beta 50) with alpha 2 and lambda 1,
pytorch-metric-learning the same with 0.5 in place of 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .base import Listwise, Range, Settings, setting


@dataclass(frozen=True)
class MultiSimilaritySettings(Settings):
    temperature: float = setting(
        0.1,
        "temperature of the negatives, 1 / beta; one default for all softmax losses",
        low=0.01,
        high=10.0,
        search=Range(0.01, 0.5, log=True),
    )
    alpha: float = setting(2.0, "factor of the positives", low=0.01, high=100.0, search=Range(0.5, 20.0, log=True))
    base: float = setting(
        0.5,
        "similarity above which a negative, below which a positive counts in full",
        low=-1.0,
        high=1.0,
        search=Range(0.0, 1.0),
    )


class MultiSimilarity(Listwise):
    """``log(1 + sum e^(-alpha (s+ - base))) / alpha + T log(1 + sum over negatives of e^((s - base) / T))``, halved."""

    Settings = MultiSimilaritySettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        alpha, temperature = float(self.settings.alpha), float(self.settings.temperature)
        above = similarity - float(self.settings.base)
        pulled = (-alpha * above).masked_fill(~positive, -torch.inf).logsumexp(dim=1)
        pushed = (above / temperature).masked_fill(positive, -torch.inf).logsumexp(dim=1)
        return (softplus(pulled) / alpha + softplus(pushed) * temperature).mean() / 2
