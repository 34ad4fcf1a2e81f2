"""FNE-InfoNCE: several negatives drawn by FNE's weights, in a softmax instead of a triplet.

Weights: H. Li et al., ACM MM 2023, see ``fne``. A public derivative for person search feeds its draws to InfoNCE; it
draws nearly the whole pool, without replacement and without the cut. Here a few are drawn, independently: where few
survive the cut, one may stand several times in the softmax, and where none does, the hardest stands for all.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Candidates, Extras, Range, View, setting
from .fne import FNE, WeighingSettings
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class FNEInfoNCESettings(WeighingSettings, InfoNCESettings):
    count: int = setting(16, "negatives drawn per anchor", low=1, high=4096, search=Range(1, 64, log=True))


class FNEInfoNCE(FNE):
    """``-log(e+ / (e+ + sum over drawn e-))``, ``e = exp(s / T)``, mean of both directions."""

    Settings = FNEInfoNCESettings

    def __init__(self, **changes: object) -> None:
        super().__init__(**changes)
        self.softmax = InfoNCE(temperature=self.settings.temperature, learn=self.settings.learn)

    def report(self) -> dict[str, float]:
        return super().report() | self.softmax.report()

    def begin(self, image: Tensor, text: Tensor, ids: Tensor, extras: Extras) -> None:
        super().begin(image, text, ids, extras)
        self.softmax.begin(image, text, ids, extras)

    def choose(self, candidates: Candidates) -> Tensor:
        """``[B, count]``"""
        return self.sample(candidates, self.settings.count)

    def view_loss(self, view: View) -> Tensor:
        index = self.pick(view)
        chosen = view.candidates.index_select(0, index.clamp_min(0).flatten()).view(*index.shape, -1)
        negative = torch.where(index >= 0, (chosen @ view.anchors[:, :, None])[:, :, 0], -torch.inf)
        logits = torch.cat([view.positive_similarity[:, None], negative], dim=1) * self.softmax.scale
        return (logits.logsumexp(dim=1) - logits[:, 0]).mean() / 2
