"""Mean of hinges: every negative counts alike (VSE0's sum, divided by the number of negatives).

R. Kiros, R. Salakhutdinov, R. S. Zemel: Unifying Visual-Semantic Embeddings with Multimodal Neural Language
Models, 2014, eq. 5 gives the sum. The usual warm-up before a hardest-negative loss.
"""

import torch
from torch import Tensor

from methods.base import Memory, Method, TripletSettings, views


class Mean(Method):
    """mean over anchors and negatives of ``[margin + s(anchor, negative) - s(anchor, positive)]_+``."""

    Settings = TripletSettings

    def loss(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,
        memory: Memory | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        total = image.new_zeros(())
        for _, anchors, candidates, candidate_ids in views(image, text, ids, memory):
            similarity = anchors @ candidates.T
            negative = ids[:, None] != candidate_ids[None, :]
            positive = (anchors * candidates[: len(anchors)]).sum(dim=1, keepdim=True)
            hinge = torch.relu(self.settings.margin + similarity - positive) * negative
            total = total + (hinge.sum(dim=1) / negative.sum(dim=1).clamp_min(1)).mean()
        return total
