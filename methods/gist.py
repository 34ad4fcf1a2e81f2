"""GISTEmbed: a guide model decides what may be a negative.

A. Solatorio: GISTEmbed: Guided In-sample Selection of Training Negatives for Text Embedding Fine-tuning, 2024
(arXiv 2402.16829), as in sentence-transformers. Their guide compares anchor and candidate; ours is a frozen text
model, so a candidate's caption is held against how alike the captions of the anchor's image are among themselves.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.base import Range, View, setting
from methods.info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class GISTSettings(InfoNCESettings):
    temperature: float = setting(
        0.01, "temperature at the start", low=0.01, high=10.0, search=Range(0.01, 0.3, log=True)
    )
    learn: bool = setting(False, "whether the temperature is learnt; never below 0.01")
    distance: float = setting(
        0.0, "candidates above the guide's s+ minus this are left out", low=-1.0, high=1.0, search=Range(-0.2, 0.3)
    )


class GIST(InfoNCE):
    """InfoNCE without candidates where guide(caption, candidate) > mean guide(caption, image's others) - distance."""

    Settings = GISTSettings
    needs = ("guide",)

    def view_loss(self, view: View) -> Tensor:
        left_out = view.positive | self.alike(view)
        return self.against_all_but(left_out, view.similarity, view.positive_similarity)

    def suspicion(self, view: View) -> Tensor:
        """The mask."""
        return self.alike(view).float()

    @torch.no_grad()
    def alike(self, view: View) -> Tensor:
        """The candidates left out, as a mask ``[B, N]``; some are known positives."""
        support = view.guide.support
        own, rest = support[:, 0], support[:, 1:]
        among = (rest @ own[:, :, None]).mean(dim=(1, 2)) if rest.shape[1] else torch.ones_like(own[:, 0])
        return view.text_likeness > among[:, None] - float(self.settings.distance)
