"""Any vision or text model of transformers, by hub name or local folder: ViT, DINOv2, CLIP, SigLIP; BERT, MPNet.

T. Wolf et al. (2020), Transformers: State-of-the-Art Natural Language Processing, EMNLP (demonstrations).
"""

from typing import ClassVar

from negbench.benchmark.models.base import Modality, Tower
from negbench.benchmark.models.parts.transformer import TransformerPictures, TransformerText
from negbench.benchmark.models.parts.two_sided import TwoSided


class HuggingFace(TwoSided):
    """Either side; weights are read from safetensors alone, and code from a hub is never run."""

    family = "google/vit-base-patch16-224"
    extra = "hf"
    packages = ("transformers",)
    sides: ClassVar[dict[Modality, type[Tower]]] = {"image": TransformerPictures, "text": TransformerText}
