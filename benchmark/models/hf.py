"""Any vision or text model of transformers, by hub name or local folder: ViT, DINOv2, CLIP, SigLIP; BERT, MPNet.

T. Wolf et al. (2020), Transformers: State-of-the-Art Natural Language Processing, EMNLP (demonstrations).
"""

from collections.abc import Sequence

from torch import Tensor

from negbench.benchmark.models.base import PIXELS, TEXT, Modality, ParameterGroup, Source, Tower, TowerSettings
from negbench.benchmark.models.parts.transformer import (
    PictureSettings,
    TextSettings,
    TransformerPictures,
    TransformerText,
)


class HuggingFace(Tower):
    """Either side; weights are read from safetensors alone, and code from a hub is never run."""

    reads = PIXELS | TEXT
    family = "google/vit-base-patch16-224"
    extra = "hf"
    packages = ("transformers",)

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        side = TransformerPictures if source.modality == "image" else TransformerText
        self.side: Tower = side(source, settings, model)

    @classmethod
    def settings_of(cls, modality: Modality) -> type[TowerSettings]:
        return {"image": PictureSettings, "text": TextSettings}[modality]

    def forward(self, items: Tensor) -> Tensor:
        return self.side(items)  # type: ignore[no-any-return]

    def augmented(self, items: Tensor) -> Tensor:
        return self.side.augmented(items)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        return self.side.tokens(texts)

    def groups(self) -> list[ParameterGroup]:
        return self.side.groups()
