"""HAL: a smooth maximum over negatives that hubs, similar to many, bear most of; the positive by a logarithm.

F. Liu, R. Ye, X. Wang, S. Li: HAL: Improved Text-Image Matching by Mitigating Visual Semantic Hubs, AAAI 2020, the
local weighting. The global one, by a memory of the training set, is not here: what a memory holds are candidates like
the batch's. The paper's factors of s, 30 (COCO) and 60 (F30K), are T = 1 / 30 and 1 / 60; its thresholds 0.3 and 0.7.
The authors' code counts the pair itself as a negative of similarity 0; here it is none. An anchor without negatives
pays nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .base import Listwise, Range, Settings, setting


@dataclass(frozen=True)
class HALSettings(Settings):
    temperature: float = setting(
        0.1, "temperature of the smooth maximum", low=0.005, high=10.0, search=Range(0.01, 0.5, log=True)
    )
    threshold: float = setting(
        0.3, "similarity around which a negative begins to count", low=-1.0, high=1.0, search=Range(0.0, 0.8)
    )


class HAL(Listwise):
    """``T log(1 + sum over negatives of exp((s - threshold) / T)) - log(1 + [s+]_+) / 2``; both directions added."""

    Settings = HALSettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        temperature, threshold = float(self.settings.temperature), float(self.settings.threshold)
        logits = ((similarity - threshold) / temperature).masked_fill(positive, -torch.inf)
        pushed, pulled = temperature * softplus(logits.logsumexp(dim=1)), torch.relu(own).log1p() / 2
        return torch.where(positive.all(dim=1), 0, pushed - pulled).mean()
