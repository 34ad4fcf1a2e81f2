"""Both towers of the models of open_clip, by hub name or local folder.

M. Cherti et al. (2023), Reproducible Scaling Laws for Contrastive Language-Image Learning, CVPR.
"""

from typing import ClassVar

from negbench.benchmark.models.base import Modality, Tower
from negbench.benchmark.models.parts.clip import ClipPictures, ClipText
from negbench.benchmark.models.parts.two_sided import TwoSided


class OpenClip(TwoSided):
    """What the model compares; ``project`` may be off, as both sides come from one space."""

    family = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    extra = "open-clip"
    packages = ("open_clip",)
    sides: ClassVar[dict[Modality, type[Tower]]] = {"image": ClipPictures, "text": ClipText}
