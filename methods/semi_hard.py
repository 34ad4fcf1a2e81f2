"""Semi-hard negative: the most similar one that is still less similar than the positive (FaceNet).

F. Schroff, D. Kalenichenko, J. Philbin: FaceNet: A Unified Embedding for Face Recognition and Clustering,
CVPR 2015, section 3.2: ``s+ - margin < s < s+``. The paper leaves open which of these to take and what to do
where there is none; here the hardest of them is taken, and else the fallback.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import ALIKE, Candidates, Choice, Sampler, TripletSettings, View, largest, setting


@dataclass(frozen=True)
class SemiHardSettings(TripletSettings):
    fallback: str = setting(
        "easiest",
        "without a semi-hard candidate: the least similar negative (the common reading) or the hardest",
        choices=("easiest", "hardest"),
        search=Choice(("easiest", "hardest")),
    )


class SemiHard(Sampler):
    """argmax of s over negatives with ``s+ - margin < s < s+``; anchors without one are counted."""

    Settings = SemiHardSettings

    def __init__(self, **changes: object) -> None:
        super().__init__(**changes)
        self.register_buffer("anchors", torch.zeros((), dtype=torch.int64))
        self.register_buffer("fallbacks", torch.zeros((), dtype=torch.int64))
        self.anchors: Tensor
        self.fallbacks: Tensor

    def start_epoch(self) -> None:
        self.anchors.zero_()
        self.fallbacks.zero_()

    def report(self) -> dict[str, float]:
        """``fallback``: share of anchors without a semi-hard candidate."""
        return {"fallback": float(self.fallbacks / self.anchors.clamp_min(1))}

    def choose(self, candidates: Candidates) -> Tensor:
        similarity, positive = candidates.similarity, candidates.positive_similarity[:, None]
        highest = positive - ALIKE
        index = largest(torch.where(similarity < highest, similarity, -torch.inf))
        best = similarity.gather(1, index[:, None])
        none = ((best >= highest) | (best <= positive - self.settings.margin))[:, 0]
        self.anchors += len(index)
        self.fallbacks += none.sum()
        return torch.where(none, self._fallback(candidates), index)

    def suspicion(self, view: View) -> Tensor:
        """Whether it is as similar as the positive, which is too hard."""
        return (view.similarity >= view.own_similarity[:, None] - ALIKE).float()

    def _fallback(self, candidates: Candidates) -> Tensor:
        return candidates.hardest if self.settings.fallback == "hardest" else candidates.easiest
