"""TAL: the triplet loss with a smooth maximum, which all negatives bear by their share.

Y. Qin, Y. Chen, D. Peng, X. Peng, J. T. Zhou, P. Hu: Noisy-Correspondence Learning for Text-to-Image Person
Re-identification, CVPR 2024 (RDE), the triplet alignment loss. The positive side is the mean of all positives by
their softmax, as in theirs. The paper's T is 0.02, its margin 0.1, and it sums over the batch where this is a mean;
their selection of clean pairs is no part of the loss.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Listwise, Range, TripletSettings, setting


@dataclass(frozen=True)
class TALSettings(TripletSettings):
    temperature: float = setting(
        0.1, "of the smooth maximum; near 0 it is the hardest negative", low=0.005, search=Range(0.01, 0.5, log=True)
    )


class TAL(Listwise):
    """``[margin + T log(sum over negatives of exp(s / T)) - sum a s]_+``, ``a`` the softmax of s / T over positives."""

    Settings = TALSettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        temperature = float(self.settings.temperature)
        logits = similarity / temperature
        share = logits.detach().masked_fill(~positive, -torch.inf).softmax(dim=1)
        pulled = torch.where(positive, share * similarity, 0).sum(dim=1)
        pushed = temperature * logits.masked_fill(positive, -torch.inf).logsumexp(dim=1)
        return torch.relu(self.settings.margin + pushed - pulled).mean()
