"""How often a sampler picks a false negative: a candidate that is true of the anchor it is pushed from."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from negbench.methods.base import Method
from negbench.pipelines.truth import Truth

NO_CHOICE = -1
"""In place of the image of a pair that was not chosen."""


class PickCount:
    """How often a chosen negative is true of its anchor. Pairs are noted on the device and judged once an epoch."""

    def __init__(self, truth: Truth | None) -> None:
        self.truth = truth
        self._pairs: dict[str, list[tuple[Tensor, Tensor]]] = {"i2t": [], "t2i": []}
        self._true = {"i2t": 0, "t2i": 0}
        self._all = {"i2t": 0, "t2i": 0}

    def note(self, method: Method, ids: Tensor, captions: Tensor, pool_ids: Tensor, pool_captions: Tensor) -> None:
        """Note the choices of a step: image and caption rows of anchors ``[B]`` and candidates ``[N]``.

        Each of an anchor's picks, ``method.chosen``: ``[B]`` or ``[B, k]``, is a choice of its own. The rows of a
        candidate that is no pair of the data are negative.
        """
        if self.truth is None:
            return
        for direction, index in method.chosen.items():
            index = index.reshape(len(ids), -1)
            chosen = index.clamp_min(0)
            image = ids[:, None].expand_as(index) if direction == "i2t" else pool_ids[chosen]
            caption = captions[:, None].expand_as(index) if direction == "t2i" else pool_captions[chosen]
            image = torch.where(index >= 0, image, NO_CHOICE)
            self._pairs[direction].append((image.flatten(), caption.flatten()))

    def epoch(self) -> dict[str, float]:
        """Rates ``i2t``, ``t2i``, ``both`` of the epoch; empty where nothing was chosen or the truth is unknown."""
        counts = {}
        for direction, pairs in self._pairs.items():
            if self.truth is not None and pairs:
                images, captions = (torch.cat(column).cpu().numpy() for column in zip(*pairs, strict=True))
                counts[direction] = judge(self.truth, images, captions)
                self._true[direction] += counts[direction][0]
                self._all[direction] += counts[direction][1]
            pairs.clear()
        return rates(
            {name: count[0] for name, count in counts.items()}, {name: count[1] for name, count in counts.items()}
        )

    def state(self) -> dict[str, Tensor]:
        """Everything noted, for ``restore``."""
        noted = {
            f"{direction}.{column}": torch.cat(parts)
            for direction, pairs in self._pairs.items()
            if pairs
            for column, parts in zip(("image", "caption"), zip(*pairs, strict=True), strict=True)
        }
        return {**noted, "counts": torch.tensor([list(self._true.values()), list(self._all.values())])}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a ``state``."""
        for direction, pairs in self._pairs.items():
            if f"{direction}.image" in state:
                pairs[:] = [(state[f"{direction}.image"], state[f"{direction}.caption"])]
        for counts, row in zip((self._true, self._all), state["counts"].tolist(), strict=True):
            counts.update(zip(counts, row, strict=True))

    def overall(self) -> dict[str, float]:
        """The same over all epochs so far."""
        return rates(self._true, self._all)


def judge(truth: Truth, images: NDArray[np.int64], captions: NDArray[np.int64]) -> tuple[int, int]:
    """How many of the pairs ``[P]`` are true, and how many there are.

    A pair whose image is ``NO_CHOICE`` is none; any other with a negative row, of a random vector, is not true.
    """
    real = (images >= 0) & (captions >= 0)
    return int(truth.pairs(images[real], captions[real]).sum()), int((images != NO_CHOICE).sum())


def rates(true: dict[str, int], judged: dict[str, int]) -> dict[str, float]:
    """Shares per direction and together; empty where nothing was judged."""
    total = sum(judged.values())
    if total == 0:
        return {}
    shares = {name: true[name] / judged[name] for name in judged if judged[name]}
    return {**shares, "both": sum(true.values()) / total}
