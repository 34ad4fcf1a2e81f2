"""Sum of hinges: every negative inside the margin is pushed (VSE0).

R. Kiros, R. Salakhutdinov, R. S. Zemel: Unifying Visual-Semantic Embeddings with Multimodal Neural Language
Models, 2014, eq. 5; the sum-of-hinges baseline of VSE++ (Faghri et al., BMVC 2018, eq. 5).
"""

import torch
from torch import Tensor

from .base import Listwise, TripletSettings


class Sum(Listwise):
    """mean over anchors of the sum over negatives of ``[margin + s(anchor, negative) - s(anchor, positive)]_+``."""

    Settings = TripletSettings

    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        hinge = torch.relu(self.settings.margin + similarity - own[:, None]).masked_fill(positive, 0)
        return hinge.sum(dim=1).mean()
