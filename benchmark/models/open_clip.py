"""Both towers of the models of open_clip, by hub name or local folder.

M. Cherti et al. (2023), Reproducible Scaling Laws for Contrastive Language-Image Learning, CVPR.
"""

from collections.abc import Sequence

from torch import Tensor

from negbench.benchmark.models.base import PIXELS, TEXT, Modality, ParameterGroup, Source, Tower, TowerSettings
from negbench.benchmark.models.parts.clip import ClipPictures, ClipPictureSettings, ClipText
from negbench.benchmark.models.parts.pretrained import BackboneSettings


class OpenClip(Tower):
    """What the model compares; ``project`` may be off, as both sides come from one space."""

    reads = PIXELS | TEXT
    family = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    extra = "open-clip"
    packages = ("open_clip",)

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        side = ClipPictures if source.modality == "image" else ClipText
        self.side: Tower = side(source, settings, model)

    @classmethod
    def settings_of(cls, modality: Modality) -> type[TowerSettings]:
        return {"image": ClipPictureSettings, "text": BackboneSettings}[modality]

    def forward(self, items: Tensor) -> Tensor:
        return self.side(items)  # type: ignore[no-any-return]

    def augmented(self, items: Tensor) -> Tensor:
        return self.side.augmented(items)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        return self.side.tokens(texts)

    def groups(self) -> list[ParameterGroup]:
        return self.side.groups()
