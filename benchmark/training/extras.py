"""What some methods see besides the joint space: numbers of captions, frozen features, captions as text.

The guide is the frozen encoders themselves: features centred on the training split, of unit length.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from negbench.benchmark.errors import BenchError
from negbench.benchmark.models.two_towers import TwoTowers
from negbench.benchmark.training import processes
from negbench.benchmark.training.inputs import SplitTensors
from negbench.methods.base import Direction, Extras, Guide, Method, Words

if TYPE_CHECKING:
    from negbench.pipelines.truth import Truth


@dataclass(frozen=True)
class Texts:
    """The captions of a dataset as text."""

    captions: Sequence[str]
    """In the order of the manifest's ``captions`` table."""
    encode: Callable[[list[str]], NDArray[np.float32]]
    """Texts to features ``[n, D_text]``, as those of the store were made."""


class ExtrasOf:
    """Makes the ``Extras`` of a step, as far as any of some methods needs them."""

    def __init__(
        self,
        losses: Sequence[Method],
        data: SplitTensors,
        model: TwoTowers,
        texts: Texts | None = None,
        truth: "Truth | None" = None,
        captions_known: str = "image",
        above: bool = False,
    ) -> None:
        """With ``truth`` all true pairs are positives, or those ``above`` the partner; ``captions_known``: ``guide``.

        ``BenchError`` where captions are needed as text in vain.
        """
        self.data, self.model, self.texts, self.truth, self.captions_known = data, model, texts, truth, captions_known
        self.above = above
        needs = {need for loss in losses for need in loss.needs}
        if "words" in needs and texts is None:
            raise BenchError("this method needs the captions as text, and an encoder for new ones")
        self.needs = needs
        self.centres = [features.mean(dim=0) for features in data.frozen()] if "guide" in needs else None
        self._features()

    def _features(self) -> None:
        """Prepare what the split gives to every step."""
        if self.needs & {"guide", "words"}:
            self.others = other_captions(self.data.caption_image)
        if self.centres is not None:
            self.image, self.text = map(centred, self.data.frozen(), self.centres)
            if self.captions_known == "shuffled":
                images, captions = of_another(self.data.caption_image, len(self.image))
                self.image, self.text = self.image[images], self.text[captions]

    def of(self, data: SplitTensors) -> "ExtrasOf":
        """The same for another split, for a look that trains nothing: the guide as it is, no words."""
        other = copy.copy(self)
        other.data, other.texts = data, None
        other._features()
        return other

    def __call__(self, method: Method, captions: Tensor, pool: Tensor, pool_images: Tensor) -> Extras:
        """Of the batch's captions ``[B]`` (rows of the split) and the candidates, ``[N]`` (rows of the manifest)."""
        return Extras(
            known=None if self.truth is None else self.known(self.truth, captions, pool, pool_images),
            known_above=self.above,
            captions=self.data.caption_rows[captions] if "captions" in method.needs else None,
            guide=self.guide(captions, pool) if "guide" in method.needs else None,
            words=self.words(captions) if "words" in method.needs and self.texts else None,
        )

    def known(self, truth: "Truth", captions: Tensor, pool: Tensor, pool_images: Tensor) -> dict[Direction, Tensor]:
        """Which pairs are true; none of what is no caption (a random start of the memory)."""
        rows, own = self.data.caption_rows[captions], self.data.image_rows[self.data.caption_image[captions]]
        real = (pool >= 0).cpu().numpy()
        anchors, images, texts, all_texts = (each.cpu().numpy() for each in (own, pool_images, rows, pool))
        i2t = truth.matrix(anchors, all_texts * real) & real
        t2i = truth.matrix(images * real, texts).T & real
        return {"i2t": torch.as_tensor(i2t, device=pool.device), "t2i": torch.as_tensor(t2i, device=pool.device)}

    def guide(self, captions: Tensor, pool: Tensor) -> Guide:
        """Frozen features of the candidates; zeros for what is no caption (a random start of the memory)."""
        rows = torch.searchsorted(self.data.caption_rows, pool)
        known = (pool >= 0)[:, None]
        others = self.others[captions][:, : 0 if self.captions_known == "own" else None]
        return Guide(
            image=self.image[self.data.caption_image[rows]] * known,
            text=self.text[rows] * known,
            support=self.text[torch.cat([captions[:, None], others], dim=1)],
        )

    def words(self, captions: Tensor) -> Words:
        """The captions of each anchor's image, and the trained way from a text into the joint space."""
        assert self.texts is not None  # checked when made
        texts = self.texts
        rows = self.data.caption_rows[torch.cat([captions[:, None], self.others[captions]], dim=1)]

        def encode(sentences: list[str]) -> Tensor:
            count = processes.count()
            part = processes.own(torch.arange(math.ceil(len(sentences) / count) * count)).clamp_max(len(sentences) - 1)
            own = [sentences[row] for row in part.tolist()]
            if self.model.text.reads["text"] == "text":
                items = self.model.text.tokens(own).to(captions.device)
            else:
                items = torch.as_tensor(texts.encode(own), dtype=torch.float32, device=captions.device)
            with torch.random.fork_rng():  # its dropout must not change that of the next batches
                joint: Tensor = self.model.text(items)
            return processes.whole(joint)[: len(sentences)]

        return Words([[texts.captions[row] for row in some] for some in rows.tolist()], encode)


def centred(features: Tensor, centre: Tensor) -> Tensor:
    """Features ``[n, D]`` minus ``centre [D]``, of unit length."""
    return normalize(features - centre, dim=1)


def other_captions(caption_image: Tensor) -> Tensor:
    """The other captions of each caption's image, ``[C, K - 1]`` for at most K captions per image.

    Where an image has fewer they repeat; a caption without others stands for itself. ``caption_image`` is ``[C]``.
    """
    order = torch.argsort(caption_image, stable=True)
    counts = torch.bincount(caption_image)
    first = (counts.cumsum(dim=0) - counts)[caption_image]
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    count = counts[caption_image][:, None]
    steps = torch.arange(max(1, int(counts.max()) - 1), device=order.device)[None, :]
    turn = 1 + steps % (count - 1).clamp_min(1)
    return order[first[:, None] + ((place - first)[:, None] + turn) % count]


def of_another(caption_image: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """For each image ``[I]`` another one, and for each caption ``[C]`` the caption of the same place there.

    Captions of one image stay together; each image stands for one other, by a random circle through those that have
    captions, the same in every run. Of an image with fewer captions some stand in twice.
    """
    counts = torch.bincount(caption_image, minlength=images)
    captioned = counts.nonzero()[:, 0]
    circle = captioned[torch.randperm(len(captioned), generator=torch.Generator().manual_seed(0)).to(captioned.device)]
    other = torch.arange(images, device=caption_image.device)
    other[circle] = circle.roll(1)
    order = torch.argsort(caption_image, stable=True)
    first = counts.cumsum(dim=0) - counts
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    image = other[caption_image]
    return other, order[first[image] + (place - first[caption_image]) % counts[image]]
