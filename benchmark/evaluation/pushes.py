"""What a method pushes an anchor away from, on a split it was not trained on, and how much of it is a false negative.

The method works as in training: batches of the split's captions, its own sampler, its statistics as they are. Nothing
is learnt: the features come from the trained model in evaluation, and the method's state is put back.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.config import RunConfig
from benchmark.evaluation.relation import MATCH, UNKNOWN, Codes, Relation
from benchmark.evaluation.shares import share
from benchmark.evaluation.similarities import Counts, histograms
from benchmark.seeds import seed_for
from methods.base import Direction, Memory, Method, View, views

if TYPE_CHECKING:
    from benchmark.extras import ExtrasOf

ENOUGH = 1000
"""Judged picks in either direction after which an audit ends."""
PAIRS_PER_STEP = 2**12
"""Judged pairs kept of a step and direction for the detection; evenly spaced ones where there are more."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Gallery:
    """A split as a trained model sees it, and how a method meets it."""

    images: Tensor
    """``[I, D]``"""
    captions: Tensor
    """``[C, D]``"""
    extras_of: "ExtrasOf"
    """Of the same split."""
    batch: int
    memory: int
    """Candidates besides the batch; 0 for none."""
    seed: int

    @classmethod
    def of(cls, config: RunConfig, extras_of: "ExtrasOf", role: str, in_batch: bool = False) -> "Gallery":
        """The split of ``extras_of`` as its model sees it now; random draws of their own per ``role``."""
        images, captions = extras_of.data.encode(extras_of.model)
        seed = seed_for(config.seed, "audit", role)
        return cls(images, captions, extras_of, config.batch, 0 if in_batch else config.memory, seed)

    def histograms(self, relation: Relation | None) -> dict[str, Counts]:
        """Of all similarities; see ``similarities.histograms``."""
        owners = self.extras_of.data.caption_image
        return histograms(self.images, self.captions, owners, self.batch, self.seed, relation)

    def steps(self, method: Method, steps: int | None = None) -> Iterator[tuple[View, Tensor, Tensor]]:
        """Both views of each step, with the caption rows of anchors ``[B]`` and candidates ``[N]``.

        One pass over the captions in random order, or its first ``steps``. The memory holds the captions that follow
        in that order, as a queue would hold those that came before. The method's state is put back after each view.
        """
        data = self.extras_of.data
        stream = torch.Generator(self.images.device).manual_seed(self.seed)
        order = torch.randperm(len(self.captions), generator=torch.Generator().manual_seed(self.seed))
        order = order.to(self.images.device)
        batch = min(self.batch, len(order))
        for number in range(len(order) // batch if steps is None else min(steps, len(order) // batch)):
            pool = order.roll(-number * batch)[: batch + self.memory]
            captions, owners = pool[:batch], data.caption_image[pool]
            ids = data.image_rows[owners]
            memory = Memory(self.images[owners], self.captions[pool], ids) if self.memory else None
            extras = self.extras_of(method, captions, data.caption_rows[pool], ids)
            # with gradient, so that ``View.similarity`` has one
            image, text = self.images[owners[:batch]].requires_grad_(), self.captions[captions].requires_grad_()
            state = copy.deepcopy(method.state_dict())
            method.begin(image, text, ids[:batch], extras)
            try:
                for view in views(image, text, ids[:batch], memory, stream, extras):
                    method.load_state_dict(state)
                    yield view, captions, pool
            finally:  # also where the caller has enough
                method.load_state_dict(state)


def pushed(method: Method, view: View) -> Floats | None:
    """``[B, N]``: how much of what pushes an anchor comes from each candidate; a row sums to 1, or 0 without a push.

    Of a method that chooses: its picks, in equal parts. Of any other: the slope ``d loss / d s(anchor, candidate)``
    where it is positive, that is where a step makes the pair less similar. Positives count for nothing. None where
    the method neither chooses nor computes its loss from ``View.similarity``.
    """
    method.chosen = {}
    loss = method.view_loss(view)
    if view.direction in method.chosen:
        index = method.chosen[view.direction].reshape(len(view.anchors), -1).cpu()
        weights = torch.zeros(view.positive.shape)
        weights.scatter_add_(1, index.clamp_min(0), (index >= 0).float())
    else:
        slope = torch.autograd.grad(loss, view.similarity, allow_unused=True)[0] if loss.requires_grad else None
        if slope is None:
            return None
        weights = slope.clamp_min(0).masked_fill(view.positive, 0).cpu()
    total = weights.sum(dim=1, keepdim=True)
    return np.asarray(torch.where(total > 0, weights / total, 0).numpy(), dtype=np.float32)


@dataclass
class Found:
    """What one direction of an audit found."""

    judged: list[NDArray[np.float64]] = field(default_factory=list)
    """``[B, 5]`` per step: push on known matches, on judged pairs, on all; known matches and judged candidates."""
    owners: list[NDArray[np.int64]] = field(default_factory=list)
    """``[B]`` per step: the anchors' images."""
    scores: list[Floats] = field(default_factory=list)
    """``[2, P]`` per step: similarity and suspicion of judged pairs; NaN where the method has no suspicion."""
    labels: list[NDArray[np.bool_]] = field(default_factory=list)
    """``[P]`` per step."""

    def add(self, weights: Floats | None, scores: Floats, codes: Codes, owners: NDArray[np.int64]) -> None:
        """Of a step: ``weights [B, N]``, ``scores [2, B, N]``, ``codes [B, N]`` and ``owners [B]``."""
        match, known = codes == MATCH, codes != UNKNOWN
        push = np.zeros(codes.shape, dtype=np.float32) if weights is None else weights
        columns = [push.sum(axis=1, where=match), push.sum(axis=1, where=known), push.sum(axis=1)]
        self.judged.append(np.stack([*columns, match.sum(axis=1), known.sum(axis=1)], axis=1).astype(np.float64))
        self.owners.append(owners)
        places = np.flatnonzero(known)
        places = places[:: max(1, -(-len(places) // PAIRS_PER_STEP))]
        self.scores.append(scores.reshape(2, -1)[:, places])
        self.labels.append(match.reshape(-1)[places])

    def shares(self, name: str) -> dict[str, float]:
        """Share of the push on judged pairs that is on known matches, with interval, size and base rate."""
        match, known, whole, matches, candidates = np.concatenate(self.judged).T
        found = share(match, known, np.concatenate(self.owners))
        if found:
            found |= {"_judged": known.sum(), "_all": whole.sum(), "_base": matches.sum() / candidates.sum()}
        return {f"{name}{suffix}": float(value) for suffix, value in found.items()}

    def size(self) -> float:
        """Push on judged pairs: for a method that chooses, its judged picks."""
        return float(sum(step[:, 1].sum() for step in self.judged))

    def pairs(self) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Similarity, suspicion and match of the judged pairs: ``[P]`` each."""
        similarity, suspicion = np.concatenate(self.scores, axis=1)
        return similarity, suspicion, np.concatenate(self.labels)


def audit(method: Method, gallery: Gallery, relation: Relation, steps: int | None = None) -> dict[Direction, Found]:
    """Let a method choose among the pairs of a gallery, and hold what it pushed against what is known.

    Over one pass of the captions, or the first ``steps`` of it, or until there is ``ENOUGH``.
    """
    found: dict[Direction, Found] = {"i2t": Found(), "t2i": Found()}
    caption_image = gallery.extras_of.data.caption_image
    for view, anchors, pool in gallery.steps(method, steps):
        state = copy.deepcopy(method.state_dict())
        with torch.no_grad():
            suspicion = method.suspicion(view)
        method.load_state_dict(state)
        weights = pushed(method, view)
        owners = caption_image[anchors].cpu().numpy()
        if view.direction == "i2t":
            codes = relation.block(owners, pool.cpu().numpy())
        else:
            codes = relation.block(caption_image[pool].cpu().numpy(), anchors.cpu().numpy()).T
        codes = np.where(view.positive.cpu().numpy(), UNKNOWN, codes)
        similarity = view.similarity.detach()
        scores = torch.stack([similarity, torch.full_like(similarity, torch.nan) if suspicion is None else suspicion])
        found[view.direction].add(weights, scores.cpu().numpy(), codes, owners)
        if view.direction == "t2i" and min(one.size() for one in found.values()) >= ENOUGH:
            break
    return found
