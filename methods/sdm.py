"""SDM: the softmax of an anchor's similarities should be its labels' distribution, in reverse KL divergence.

D. Jiang, M. Ye: Cross-Modal Implicit Relation Reasoning and Aligning for Text-to-Image Person Retrieval, CVPR 2023
(IRRA), similarity distribution matching. Their T is 0.02, and both directions are added. An anchor without negatives
would be charged for unlike similarities to its positives; here it pays nothing. The pull is the larger the larger the
positives' share of the softmax already is. Among many candidates it is small, and the near way down is to make all
alike: with a memory the loss may stay at ``log(1e8) - log N``.
"""

import math

import torch
from torch import Tensor

from .info_nce import InfoNCE

FLOOR = 1e-8
"""Added to the labels' shares, whose logarithm is taken."""


class SDM(InfoNCE):
    """``sum_j p_j (log p_j - log(y_j + 1e-8))``, p the softmax of s / T, y equal shares on the positives."""

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        logs = (similarity * self.scale).log_softmax(dim=1)
        share = (1 / positive.sum(dim=1, keepdim=True).to(logs.dtype) + FLOOR).log()
        excess = logs - torch.where(positive, share, math.log(FLOOR))
        cost = (logs.exp() * excess).sum(dim=1)
        return torch.where(positive.all(dim=1), 0, cost).mean() / 2
