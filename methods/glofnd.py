"""GloFND: every anchor learns the similarity above which a candidate is a false negative.

V. Balmaseda, B. Wang, C.-L. Lin, T. Yang: Discovering Global False Negatives On the Fly for Self-supervised
Contrastive Learning, ICML 2025: the threshold is the (1 - share) quantile of the anchor's similarities over the whole
dataset, found by stochastic steps. It starts as that quantile of the first candidates seen, and at once, where the
paper waits for some epochs; the softmax is InfoNCE's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import Range, View, setting
from methods.info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class GloFNDSettings(InfoNCESettings):
    share: float = setting(
        0.001,
        "share of all candidates that are false negatives; the paper takes 0.0001 for 3 million pairs",
        low=0.0,
        high=0.5,
        search=Range(0.0001, 0.05, log=True),
    )
    rate: float = setting(0.05, "step size of the thresholds (Adam)", low=0.0, search=Range(0.001, 0.1, log=True))
    slots: int = setting(
        2**17,
        "thresholds kept per direction; anchors whose numbers are equal modulo this share one",
        low=1,
        high=2**24,
    )


class GloFND(InfoNCE):
    """InfoNCE without ``s > lambda_i``; lambda_i by Adam on ``share - (share of negatives with s > lambda_i)``."""

    Settings = GloFNDSettings
    needs = ("captions",)
    state: Tensor
    """``[2, slots, 4]``: of image and of caption anchors, threshold, both moments of Adam, and visits."""

    def __init__(self, **changes: object) -> None:
        super().__init__(**changes)
        self.register_buffer("state", torch.zeros(2, self.settings.slots, 4))

    def view_loss(self, view: View) -> Tensor:
        false = self.false_negatives(view)
        return self.against_all_but(view.positive | false, view.similarity, view.positive_similarity)

    def suspicion(self, view: View) -> Tensor:
        """The mask."""
        return self.false_negatives(view).float()

    @torch.no_grad()
    def false_negatives(self, view: View) -> Tensor:
        """Mask ``[B, N]`` by the thresholds as they are; then a step of the thresholds."""
        assert view.extras.captions is not None  # ``needs`` was checked
        side, keys = (0, view.anchor_ids) if view.direction == "i2t" else (1, view.extras.captions)
        slots = keys.long() % self.settings.slots
        threshold, first, second, visits = self.state[side, slots].unbind(dim=1)
        negatives = torch.where(view.positive, -torch.inf, view.similarity)
        count = max(1, int(self.settings.share * negatives.shape[1]))
        start = negatives.topk(count, dim=1).values[:, -1]
        start = torch.where(start > -torch.inf, start, 1)  # an anchor without a negative has seen nothing yet
        threshold = torch.where(visits > 0, threshold, start)
        false = negatives > threshold[:, None]
        gradient = self.settings.share - false.sum(dim=1) / (~view.positive).sum(dim=1).clamp_min(1)
        visits = visits + 1
        first = 0.9 * first + 0.1 * gradient
        second = 0.98 * second + 0.02 * gradient.square()
        move = (first / (1 - 0.9**visits)) / ((second / (1 - 0.98**visits)).sqrt() + 1e-8)
        moved = (threshold - self.settings.rate * move).clamp(-1, 1)
        self.state[side, slots] = torch.stack([moved, first, second, visits], dim=1).to(self.state.dtype)
        return false
