"""Language guidance: every negative has a margin, and less of it the more its caption is like the image's captions.

Z. Li, C. Guo, Z. Feng, J.-N. Hwang, Z. Du: Integrating Language Guidance Into Image-Text Matching for Correcting False
Negatives, IEEE Transactions on Multimedia, 2023 (LG). Their threshold is the 70th percentile of how alike their guide
finds captions, 0.18 (F30K) and 0.19 (COCO) for MPNet, 0.49 for CLIP; it is a property of the guide, and here one
number. Theirs compares a candidate image by its captions, and an anchor text by itself; here, as everywhere, it is a
candidate's caption with the captions of the anchor's image, in both directions. Their T is 0.02.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Range, View, setting
from .info_nce import InfoNCE, InfoNCESettings


@dataclass(frozen=True)
class LanguageGuidanceSettings(InfoNCESettings):
    margin: float = setting(
        0.2, "margin of a candidate that the guide finds unlike", low=0.0, high=2.0, search=Range(0.05, 0.4)
    )
    threshold: float = setting(
        0.18,
        "the guide's likeness from which the margin falls, to 0 where it is 1",
        low=-1.0,
        high=0.99,
        search=Range(-0.5, 0.9),
    )


class LanguageGuidance(InfoNCE):
    """InfoNCE of ``s + margin min(1, (1 - r) / (1 - threshold))``, r the guide's largest of a caption and candidate."""

    Settings = LanguageGuidanceSettings
    needs = ("guide",)

    def view_loss(self, view: View) -> Tensor:
        margin = float(self.settings.margin) * (1 - self.suspicion(view))
        moved = view.similarity + margin.to(view.similarity.dtype)
        return self.against_all_but(view.positive, moved, view.positive_similarity)

    @torch.no_grad()
    def suspicion(self, view: View) -> Tensor:
        """The share of the margin that a candidate is spared."""
        threshold = float(self.settings.threshold)
        return ((view.support_likeness - threshold) / (1 - threshold)).clamp(0, 1)
