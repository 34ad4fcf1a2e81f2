"""TAGS-like: besides the hardest negative, sentences made from the image's own caption by swapping a word.

Z. Fan et al.: Negative Sample is Negative in Its Own Way: Tailoring Negative Sentences for Image-Text Retrieval,
Findings of NAACL 2022 (arXiv 2111.03349; TAGS-DC) refill masked phrases by a language model. Here a rule does: a word
gives way to one that stands between the same two words elsewhere in the batch. A sentence that equals a caption of the
image is dropped; others may still be true.
"""

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Range, TripletSettings, View, setting
from .hardest import Hardest

ARTICLES = {"a", "an", "the"}
"""Swapping one of these changes nothing a picture could show."""
TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class TagsSettings(TripletSettings):
    count: int = setting(2, "sentences per caption, at most", low=1, search=Range(1, 8, log=True))
    weight: float = setting(
        0.1, "weight of the triplets with made sentences", low=0.0, search=Range(0.01, 1.0, log=True)
    )


class Tags(Hardest):
    """``hardest + weight mean [margin + s(image, made sentence) - s+]_+``."""

    Settings = TagsSettings
    needs = ("words",)

    def view_loss(self, view: View) -> Tensor:
        cost = super().view_loss(view)
        words = view.extras.words
        if view.direction == "t2i" or words is None:
            return cost
        seed = int(torch.randint(2**31, (), generator=view.generator, device=view.anchors.device))
        owners, sentences = swapped(words.captions, self.settings.count, random.Random(seed))
        if not sentences:
            return cost
        encoded = words.encode(sentences)
        if encoded.shape != (len(sentences), view.anchors.shape[1]):
            expected = [len(sentences), view.anchors.shape[1]]
            raise ValueError(f"extras.words.encode: expected {expected}, got {list(encoded.shape)}")
        made = (view.anchors[owners] * encoded).sum(dim=1)
        hinge = self.pair_loss(view.positive_similarity[owners], made)
        return cost + float(self.settings.weight) * hinge.mean()


def swapped(captions: Sequence[Sequence[str]], count: int, lot: random.Random) -> tuple[list[int], list[str]]:
    """Up to ``count`` sentences per anchor, each its caption with one word swapped: owners and sentences.

    ``captions`` are those of each anchor's image, its own first.
    """
    tokens = [["", *TOKEN.findall(some[0].lower()), ""] for some in captions]
    between: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in tokens:
        for left, word, right in zip(line, line[1:], line[2:], strict=False):
            between[left, right].add(word)
    owners, sentences = [], []
    for owner, line in enumerate(tokens):
        known = {" ".join(TOKEN.findall(caption.lower())) for caption in captions[owner]}
        swaps = [
            (place, word)
            for place in range(1, len(line) - 1)
            if line[place] not in ARTICLES and len(line) > 3  # else nothing of the caption is left
            for word in sorted(between[line[place - 1], line[place + 1]] - {line[place]})
        ]
        made = (
            " ".join([*line[1:place], word, *line[place + 1 : -1]]) for place, word in lot.sample(swaps, len(swaps))
        )
        new = [sentence for sentence in made if sentence not in known][:count]
        owners += [owner] * len(new)
        sentences += new
    return owners, sentences
