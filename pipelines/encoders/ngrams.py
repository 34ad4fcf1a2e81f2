"""Words and word sequences of a caption, hashed into a vector; learns nothing, needs no download.

Source: K. Weinberger et al. (2009), Feature Hashing for Large Scale Multitask Learning, ICML.
"""

import re
import zlib
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.encoders import Encoder

DIM = 1024
LONGEST = 3  # words in a sequence
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


class Ngrams(Encoder):
    """Texts to signed counts of hashed sequences of one to three words, of unit length."""

    name = "ngrams"
    revision = "1"
    dim = DIM
    kind: Literal["text"] = "text"

    def forward(self, prepared: list[str]) -> NDArray[np.float32]:
        """A text without any word gives zeros."""
        out = np.zeros((len(prepared), self.dim), dtype=np.float32)
        for row, text in enumerate(prepared):
            for gram in _grams(text):
                slot, sign = _slot(gram)
                out[row, slot] += sign
        length = np.sqrt(np.square(out).sum(axis=1, keepdims=True))
        return np.asarray(out / np.maximum(length, 1e-6), dtype=np.float32)


def _grams(text: str) -> list[str]:
    words = _WORD.findall(text.lower())
    return [" ".join(words[i : i + n]) for n in range(1, LONGEST + 1) for i in range(len(words) - n + 1)]


@cache
def _slot(gram: str) -> tuple[int, int]:
    """Column and sign of a sequence: a checksum, because ``hash`` differs from process to process."""
    code = zlib.crc32(gram.encode())
    return code % DIM, 1 if code >> 31 else -1
