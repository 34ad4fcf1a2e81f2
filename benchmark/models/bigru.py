"""A two-way GRU over the words of a caption, with a vocabulary of its own from the training captions.

F. Faghri et al. (2018), VSE++, BMVC; two-way and pooled as in K.-H. Lee et al. (2018), Stacked Cross Attention, ECCV,
and J. Chen et al. (2021), VSE-infinity, CVPR.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from negbench.benchmark.errors import BenchError, NoDataError
from negbench.benchmark.models.base import TEXT, Choice, Source, Tower, TowerSettings, setting
from negbench.benchmark.models.parts.pooling import GPO, mean, turned
from negbench.benchmark.models.parts.vocabulary import UNKNOWN, Vocabulary


@dataclass(frozen=True)
class BiGRUSettings(TowerSettings):
    """What may be changed."""

    minimum: int = setting(4, "Times that a word of the vocabulary stands in the training captions.", low=1, high=10**6)
    longest: int = setting(64, "Words of a caption that are read.", low=1, high=4096)
    word: int = setting(300, "Dimension of a word.", low=1, high=4096)
    layers: int = setting(1, "Layers of the GRU.", low=1, high=8)
    pooling: str = setting(
        "mean", "How steps become one vector.", choices=("mean", "gpo"), search=Choice(("mean", "gpo"))
    )
    vectors: str = setting("", "File of word vectors, a word and its numbers a line (GloVe); empty: random ones.")


class BiGRU(Tower):
    """Both directions run into the joint space and are averaged."""

    reads = TEXT
    Settings = BiGRUSettings

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        assert isinstance(settings, BiGRUSettings)
        self.longest = settings.longest
        self.vocabulary = Vocabulary(source.captions, settings.minimum)
        if len(self.vocabulary) == 1:
            raise BenchError(f"text.minimum: no word stands {settings.minimum} times in the training captions")
        self.words = nn.Embedding(len(self.vocabulary), settings.word)
        nn.init.uniform_(self.words.weight, -0.1, 0.1)
        if settings.vectors:
            fill(self.words.weight.data, self.vocabulary.numbers, Path(settings.vectors))
        self.dropout = nn.Dropout(source.dropout)
        sizes = [settings.word, *[source.dim] * (settings.layers - 1)]
        self.forth = nn.ModuleList(nn.GRU(size, source.dim, batch_first=True) for size in sizes)
        self.back = nn.ModuleList(nn.GRU(size, source.dim, batch_first=True) for size in sizes)
        self.pool = GPO() if settings.pooling == "gpo" else None

    def forward(self, items: Tensor) -> Tensor:
        real = items >= 0
        count = real.sum(dim=1, keepdim=True)
        steps = self.dropout(self.words(items.clamp_min(UNKNOWN).long()))
        for forth, back in zip(self.forth, self.back, strict=True):
            steps = (forth(steps)[0] + turned(back(turned(steps, count))[0], count)) / 2
        pooled = mean(steps, real) if self.pool is None else self.pool(steps, real)
        return normalize(pooled.float(), dim=-1)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        return self.vocabulary.tokens(texts, self.longest)


def fill(weights: Tensor, numbers: dict[str, int], file: Path) -> None:
    """Put the vectors of a file in the rows of ``weights [V, D]``; ``NoDataError`` for another dimension, or none."""
    found = 0
    try:
        with file.open(encoding="utf-8") as lines:
            for place, line in enumerate(lines, start=1):
                word, *values = line.rstrip("\n").split(" ")
                if (number := numbers.get(word)) is None:
                    continue
                if len(values) != weights.shape[1]:
                    raise NoDataError(f"{file}, line {place}: {len(values)} numbers, text.word is {weights.shape[1]}")
                weights[number] = torch.from_numpy(np.array(values, dtype=np.float32))
                found += 1
    except OSError as error:
        raise NoDataError(f"text.vectors: {file}: {error.strerror}") from None
    except ValueError as error:
        raise NoDataError(f"text.vectors: {file}: {error}") from None
    if not found:
        raise NoDataError(f"text.vectors: {file} has none of the {len(numbers)} words of the captions")
