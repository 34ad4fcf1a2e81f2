"""How often a sampler picks a false negative: a candidate that is true of the anchor it is pushed from."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from methods.base import Method
from pipelines.truth import Truth


class Audit:
    """How often a chosen negative is true of its anchor. Pairs are noted on the device and judged once an epoch."""

    def __init__(self, truth: Truth | None) -> None:
        self.truth = truth
        self._pairs: dict[str, list[tuple[Tensor, Tensor]]] = {"i2t": [], "t2i": []}
        self._true = {"i2t": 0, "t2i": 0}
        self._all = {"i2t": 0, "t2i": 0}

    def note(self, method: Method, ids: Tensor, captions: Tensor, pool_ids: Tensor, pool_captions: Tensor) -> None:
        """Note the choices of a step: image and caption rows of anchors ``[B]`` and candidates ``[N]``."""
        if self.truth is None:
            return
        for direction, index in method.chosen.items():
            chosen, some = index.clamp_min(0), index >= 0
            image = ids if direction == "i2t" else pool_ids[chosen]
            caption = captions if direction == "t2i" else pool_captions[chosen]
            self._pairs[direction].append((torch.where(some, image, -1), caption))

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

    def overall(self) -> dict[str, float]:
        """The same over all epochs so far."""
        return rates(self._true, self._all)


def judge(truth: Truth, images: NDArray[np.int64], captions: NDArray[np.int64]) -> tuple[int, int]:
    """How many of the pairs are true, and how many there are; a pair without image was no choice."""
    some = images >= 0
    return int(truth.pairs(images[some], captions[some]).sum()), int(some.sum())


def rates(true: dict[str, int], judged: dict[str, int]) -> dict[str, float]:
    """Shares per direction and together; empty where nothing was judged."""
    total = sum(judged.values())
    if total == 0:
        return {}
    shares = {name: true[name] / judged[name] for name in judged if judged[name]}
    return {**shares, "both": sum(true.values()) / total}
