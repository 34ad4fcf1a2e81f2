"""The token vectors of all-MiniLM-L6-v2, for heads that look at a sequence.

Weights and source as of ``minilm``. A caption keeps its first 32 tokens, start and end marks included.
"""

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.encoders.minilm import MiniLM


class MiniLMTokens(MiniLM):
    """Texts to 32 tokens of 384 values; zeros where a text is shorter."""

    name = "minilm-tokens"
    length = 32

    def forward(self, prepared: list[str]) -> NDArray[np.float32]:
        out = np.zeros((len(prepared), self.length, self.dim), dtype=np.float32)
        for rows, vectors, _ in self.tokens(prepared, self.length):
            out[rows, : vectors.shape[1]] = vectors.numpy()
        return out
