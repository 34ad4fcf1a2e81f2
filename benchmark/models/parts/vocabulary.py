"""Words of the training captions, numbered."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from negbench.benchmark.models.base import padded

WORD = re.compile(r"\w+(?:['\u2019]\w+)*", re.UNICODE)
UNKNOWN = 0
"""Number of every word that is none of the vocabulary."""


def words(text: str) -> list[str]:
    """The words of a text in lower case; numbers and apostrophes inside belong to them."""
    return WORD.findall(text.lower())


class Vocabulary(nn.Module):
    """A module without weights, so that the words are saved and loaded with a tower."""

    spelled: Tensor
    """UTF-8 of the words as JSON, uint8."""

    def __init__(self, texts: Iterable[str], minimum: int) -> None:
        """The words that stand at least ``minimum`` times in the texts: frequent ones first, then by the alphabet."""
        super().__init__()
        counts = Counter(word for text in texts for word in words(text))
        chosen = sorted((word for word in counts if counts[word] >= minimum), key=lambda word: (-counts[word], word))
        self.register_buffer("spelled", torch.tensor(list(json.dumps(chosen).encode()), dtype=torch.uint8))
        self.numbers = {word: number for number, word in enumerate(chosen, start=UNKNOWN + 1)}

    def __len__(self) -> int:
        return len(self.numbers) + 1

    def tokens(self, texts: Sequence[str], longest: int) -> Tensor:
        """``[n, L]``: of each text its first ``longest`` words; one without words is one unknown word."""
        return padded(
            [[self.numbers.get(word, UNKNOWN) for word in words(text)][:longest] or [UNKNOWN] for text in texts]
        )
