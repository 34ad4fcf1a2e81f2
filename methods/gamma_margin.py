"""Gamma margin: similar captions are pushed apart more, or, with a negative gamma, are spared.

HN-CLIP, described in a text of 2026, without code: ``CE((S + gamma G) / T)`` with G the detached similarities of
captions off the diagonal. There gamma is 0.5; here it has a sign, and one setting spans both beliefs about a negative
whose caption is like the anchor's: that it is hard, or that it is false. Captions of one image have no margin, as they
are no negatives. With a memory both captions are its own, so that one encoder made them.
"""

from dataclasses import dataclass

from torch import Tensor

from .base import Choice, Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class GammaMarginSettings(InfoNCESettings):
    gamma: float = setting(
        0.5,
        "margin per similarity; above 0 similar ones are pushed more, below 0 less",
        low=-2.0,
        high=2.0,
        search=Range(-1.0, 1.0),
    )
    modality: str = setting(
        "text",
        "whose similarity, in the joint space, makes the margin in both directions",
        choices=("text", "image"),
        search=Choice(("text", "image")),
    )


class GammaMargin(InfoNCE):
    """InfoNCE of ``s + gamma g`` for negatives, ``g`` the similarity of both captions, without gradient."""

    Settings = GammaMarginSettings

    def view_loss(self, view: View) -> Tensor:
        gamma = float(self.settings.gamma)
        moved = view.similarity + gamma * self.alike(view).to(view.similarity.dtype)
        return self.against_all_but(view.positive, moved, view.positive_similarity)

    def alike(self, view: View) -> Tensor:
        """``[B, N]``: g."""
        of_candidates = (view.direction == "i2t") == (self.settings.modality == "text")
        return view.partner_similarity if of_candidates else view.counterpart_similarity
