"""Mean of hinges: every negative counts alike (VSE0's sum, divided by the number of negatives).

R. Kiros, R. Salakhutdinov, R. S. Zemel: Unifying Visual-Semantic Embeddings with Multimodal Neural Language
Models, 2014, eq. 5 gives the sum. The usual warm-up before a hardest-negative loss.
"""

import torch
from torch import Tensor

from .base import Listwise, TripletSettings


class Mean(Listwise):
    """mean over anchors and negatives of ``[margin + s(anchor, negative) - s(anchor, positive)]_+``."""

    Settings = TripletSettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        hinge = torch.relu(self.settings.margin + similarity - own[:, None]).masked_fill(positive, 0)
        return (hinge.sum(dim=1) / (~positive).sum(dim=1).clamp_min(1)).mean()
