"""GISTEmbed: a guide model decides what may be a negative.

A. Solatorio: GISTEmbed: Guided In-sample Selection of Training Negatives for Text Embedding Fine-tuning, 2024
(arXiv 2402.16829), as in sentence-transformers: candidates of the anchor's own modality and of the partner's are
negatives too. Their guide compares anchor and candidate in all three groups; ours is a frozen text model, for which a
caption stands for its pair, so one mask serves all three, and a candidate's caption is held against how alike the
captions of the anchor's image are among themselves. Their T is 0.01. They train one direction; with a memory, which
they do not have, all three groups are of the memory.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import ALIKE, Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class GISTSettings(InfoNCESettings):
    distance: float = setting(
        0.0, "candidates above the guide's s+ minus this are left out", low=-1.0, high=1.0, search=Range(-0.2, 0.3)
    )
    within: bool = setting(True, "whether the anchor and its partner are pushed from others of their own modality too")


class GIST(InfoNCE):
    """InfoNCE without candidates where guide(caption, candidate) > mean guide(caption, image's others) - distance.

    Candidates are, in one softmax, the others of the other modality, of the anchor's, and those seen by its partner.
    """

    Settings = GISTSettings
    needs = ("guide",)

    def view_loss(self, view: View) -> Tensor:
        left_out = view.positive | self.alike(view)
        groups = [view.similarity, *(self.within(view) if self.settings.within else ())]
        pushed = [(group * self.scale).masked_fill(left_out, -torch.inf).logsumexp(dim=1) for group in groups]
        partner = view.positive_similarity * self.scale
        return (torch.stack([partner, *pushed]).logsumexp(dim=0) - partner).mean() / 2

    @property
    def looks_within(self) -> bool:
        return bool(self.settings.within)

    def within(self, view: View) -> tuple[Tensor, Tensor]:
        """Similarities ``[B, N]`` of anchors, and of their partners, to others of the same modality."""
        learns = view.candidates.requires_grad  # not those of a memory
        partners = view.partners @ view.candidates.T if learns else view.partner_similarity
        return view.within_similarity, partners.to(view.similarity.dtype)

    def suspicion(self, view: View) -> Tensor:
        """The mask."""
        return self.alike(view).float()

    @torch.no_grad()
    def alike(self, view: View) -> Tensor:
        """The candidates left out, as a mask ``[B, N]``; some are known positives."""
        support = view.guide.support
        own, rest = support[:, 0], support[:, 1:]
        among = (rest @ own[:, :, None]).mean(dim=(1, 2)) if rest.shape[1] else torch.ones_like(own[:, 0])
        return view.text_likeness > among[:, None] - float(self.settings.distance) + ALIKE
