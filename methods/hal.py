"""HAL: a smooth maximum over negatives that hubs, similar to many, bear most of; the positive by a logarithm.

F. Liu, R. Ye, X. Wang, S. Li: HAL: Improved Text-Image Matching by Mitigating Visual Semantic Hubs, AAAI 2020, the
local weighting. The global one, by a memory of the training set, is not here: what a memory holds are candidates like
the batch's. Factor and threshold are the paper's of COCO; of F30K they are 60 and 0.7. The factor is not held at 10, as
the temperature of softmaxes is at 0.1: negatives are compared with the threshold, not with the positive, and many of
them, each below it, would drive all similarities below 0, where nothing pulls. The authors' code counts the pair itself
as a negative of similarity 0; here it is none. An anchor without negatives pays nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .base import Listwise, Range, Settings, setting


@dataclass(frozen=True)
class HALSettings(Settings):
    scale: float = setting(
        30.0,
        "factor of the similarity in the smooth maximum; large: the hardest counts alone",
        low=0.1,
        high=200.0,
        search=Range(10.0, 100.0, log=True),
    )
    threshold: float = setting(
        0.3, "similarity around which a negative begins to count", low=-1.0, high=1.0, search=Range(0.0, 0.8)
    )


class HAL(Listwise):
    """``log(1 + sum over negatives of exp(scale (s - threshold))) / scale - log(1 + [s+]_+) / 2``, directions added."""

    Settings = HALSettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        scale, threshold = float(self.settings.scale), float(self.settings.threshold)
        logits = (scale * (similarity - threshold)).masked_fill(positive, -torch.inf)
        pushed, pulled = softplus(logits.logsumexp(dim=1)) / scale, torch.relu(own).log1p() / 2
        return torch.where(positive.all(dim=1), 0, pushed - pulled).mean()
