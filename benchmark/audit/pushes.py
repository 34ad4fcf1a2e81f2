"""What a method pushes an anchor away from, on a split it was not trained on, and how much of it is a false negative.

The method works as in training: batches of the split's captions, its own sampler, its statistics as they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from negbench.benchmark.audit.asking import Examination
from negbench.benchmark.evaluation.known_pairs import MATCH, UNKNOWN, Codes, KnownPairs
from negbench.benchmark.evaluation.shares import share
from negbench.methods.base import Direction, Method, View
from negbench.pipelines.rows import Indices

ENOUGH = 1000
"""Judged push in either direction, in anchors' worth, after which an audit ends."""
PAIRS_PER_STEP = 2**12
"""Judged pairs kept of a step and direction for the detection; evenly spaced ones where there are more."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Push:
    """What a method does to the pairs of a view, ``[B, N]`` each."""

    slope: Floats | None
    """``d loss / d s(anchor, candidate)`` times B, where it is positive: how hard a step pushes the pair apart. None
    where the method neither chooses nor computes its loss from ``View.similarity``."""
    picks: Floats | None
    """Of a method that chooses: ``1 / k`` at each of an anchor's k picks, whether or not they cost anything; a row
    sums to 1, or to 0 without a pick. None of any other method."""


def push(method: Method, view: View) -> Push:
    """Let a method see a view, which changes it; positives count for nothing in either figure."""
    method.chosen = {}
    loss = method.view_loss(view)
    picks = None
    if view.direction in method.chosen:
        slope: Tensor | None = slope_of_choice(method, view, method.chosen[view.direction])
        index = method.chosen[view.direction].reshape(len(view.anchors), -1).cpu()
        counts = torch.zeros(view.positive.shape).scatter_add_(1, index.clamp_min(0), (index >= 0).float())
        picks = np.asarray((counts / counts.sum(dim=1, keepdim=True).clamp_min(1)).numpy())
    else:
        slope = torch.autograd.grad(loss, view.similarity, allow_unused=True)[0] if loss.requires_grad else None
    if slope is None:
        return Push(None, picks)
    slope = (slope * len(view.anchors)).clamp_min(0).masked_fill(view.positive, 0).cpu()
    return Push(np.asarray(slope.numpy(), dtype=np.float32), picks)


NUDGE = 2.0**-10
"""So small that no length changes by more than rounding, and a power of two, so that no digit is lost."""


def slope_of_choice(method: Method, view: View, index: Tensor) -> Tensor | None:
    """``[B, N]``: the slope of the loss of this choice, whatever the method makes of the pairs it chose.

    Such a loss touches the chosen rows alone and knows no matrix of similarities. So each anchor gets a direction of
    its own, a little way along, in which candidates have a leaf: what comes back there is the slope of that pair.
    """
    anchors, candidates = len(view.anchors), len(view.candidates)
    leaf = view.candidates.new_zeros(candidates, anchors).requires_grad_()
    own = NUDGE * torch.eye(anchors, dtype=view.anchors.dtype, device=view.anchors.device)
    seen = replace(
        view,
        anchors=torch.cat([view.anchors, own], dim=1),
        candidates=torch.cat([view.candidates, leaf], dim=1),
        counterparts=torch.cat([view.counterparts, torch.zeros_like(leaf)], dim=1),
    )
    with choosing(method, index):
        loss = method.view_loss(seen)
    slope = torch.autograd.grad(loss, leaf, allow_unused=True)[0] if loss.requires_grad else None
    return None if slope is None else slope.T / NUDGE


@contextmanager
def choosing(method: Method, index: Tensor) -> Iterator[None]:
    """Within it a sampler makes this choice again."""
    vars(method)["pick"] = lambda _: index
    try:
        yield
    finally:
        del vars(method)["pick"]


@dataclass
class Tally:
    """How much of a push is on known matches, step by step."""

    anchors: int = 0
    reached: int = 0
    """Anchors with any push."""
    whole: float = 0.0
    """All push, on pairs known or not."""
    judged: float = 0.0
    parts: list[tuple[NDArray[np.bool_], Floats, Indices, Indices]] = field(default_factory=list)
    """Per step, of the judged pairs with a push: whether they match, the push, the images of anchor and candidate."""

    def add(self, weights: Floats, codes: Codes, owners: Indices, candidates: Indices) -> None:
        """Of a step: ``weights [B, N]``, ``codes [B, N]``, the images of anchors ``[B]`` and candidates ``[N]``."""
        self.anchors += len(owners)
        self.reached += int((weights > 0).any(axis=1).sum())
        self.whole += float(weights.sum())
        row, column = np.nonzero((weights > 0) & (codes != UNKNOWN))
        values = weights[row, column]
        self.judged += float(values.sum())
        self.parts.append((codes[row, column] == MATCH, values, owners[row], candidates[column]))

    @property
    def unit(self) -> float:
        """What makes the push of a mean anchor 1, of those with any."""
        return self.reached / self.whole if self.whole else 0.0

    def shares(self, name: str) -> dict[str, float]:
        """Share of the push on judged pairs that is on known matches, with interval and sizes."""
        if not self.parts:
            return {}
        match, values, owners, candidates = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        whole = values.astype(np.float64)
        found = share(whole * match, whole, owners, candidates)
        if found:
            found |= {"_judged": self.judged * self.unit, "_all": self.reached, "_anchors": self.anchors}
        return {f"{name}{suffix}": float(value) for suffix, value in found.items()}


@dataclass
class Reach:
    """On how many candidates the push of an anchor lies, and how hard these are, step by step; known or not."""

    anchors: int = 0
    """Those with any push."""
    effective: float = 0.0
    """Sum over them of the effective number of candidates, ``(sum w)^2 / sum w^2``."""
    whole: float = 0.0
    """All push."""
    gap: float = 0.0
    """Sum of each push times how much more similar the candidate is than the anchor's partner."""

    def add(self, slope: Floats, gaps: Floats) -> None:
        """Of a step: the push and ``s - s+``, ``[B, N]`` each."""
        weights = slope[(slope > 0).any(axis=1)].astype(np.float64)
        self.anchors += len(weights)
        self.effective += float((weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1).clip(1e-300)).sum())
        self.whole += float(weights.sum())
        self.gap += float((slope.astype(np.float64) * gaps).sum())

    def figures(self, direction: str) -> dict[str, float]:
        """``effective_i2t``: the mean over anchors; ``hardness_i2t``: the mean of ``s - s+`` over the push."""
        if not self.whole:
            return {}
        effective, hardness = self.effective / self.anchors, self.gap / self.whole
        return {f"effective_{direction}": effective, f"hardness_{direction}": hardness}


@dataclass
class Found:
    """What one direction of an audit found."""

    pushed: Tally = field(default_factory=Tally)
    """By slope: what a step really moves."""
    picked: Tally = field(default_factory=Tally)
    """By choice, of a method that chooses."""
    reach: Reach = field(default_factory=Reach)
    matches: int = 0
    judged: int = 0
    """Candidates of all anchors, known matches and all judged ones."""
    scores: list[Floats] = field(default_factory=list)
    """``[2, P]`` per step: similarity and suspicion of judged pairs; NaN where the method has no suspicion."""
    labels: list[NDArray[np.bool_]] = field(default_factory=list)
    """``[P]`` per step."""

    def add(self, found: Push, scores: Floats, own: Floats, codes: Codes, owners: Indices, candidates: Indices) -> None:
        """Of a step: what was pushed, ``scores [2, B, N]``, ``own [B]``, the similarities to the partners,
        ``codes [B, N]``, the images of anchors and candidates."""
        if found.slope is not None:
            self.reach.add(found.slope, scores[0] - own[:, None])
        match, known = codes == MATCH, codes != UNKNOWN
        for tally, weights in ((self.pushed, found.slope), (self.picked, found.picks)):
            if weights is not None:
                tally.add(weights, codes, owners, candidates)
        self.matches += int(match.sum())
        self.judged += int(known.sum())
        places = np.flatnonzero(known)
        places = places[:: max(1, -(-len(places) // PAIRS_PER_STEP))]
        self.scores.append(scores.reshape(2, -1)[:, places])
        self.labels.append(match.reshape(-1)[places])

    def shares(self, direction: str) -> dict[str, float]:
        """``pushed_i2t`` and ``picked_i2t`` with what belongs to them; ``.._base``, the share of all judged pairs."""
        figures: dict[str, float] = {}
        for name, tally in (("pushed", self.pushed), ("picked", self.picked)):
            if found := tally.shares(f"{name}_{direction}"):
                figures |= found | {f"{name}_{direction}_base": self.matches / self.judged}
        return figures | self.reach.figures(direction)

    def size(self) -> float:
        """Judged push in anchors' worth: of a method that chooses, its judged picks that cost anything."""
        return self.pushed.judged * self.pushed.unit

    def pairs(self) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Similarity, suspicion and match of the judged pairs: ``[P]`` each."""
        similarity, suspicion = np.concatenate(self.scores, axis=1)
        return similarity, suspicion, np.concatenate(self.labels)


def audit(
    method: Method, examination: Examination, known_pairs: KnownPairs, steps: int | None = None
) -> dict[Direction, Found]:
    """Let a method choose among the pairs of a gallery, and hold what it pushed against what is known.

    Over one pass of the captions, or the first ``steps`` of it, or until there is ``ENOUGH``.
    """
    found: dict[Direction, Found] = {"i2t": Found(), "t2i": Found()}
    caption_image = examination.gallery.caption_image
    for question, anchors, pool in examination.steps(method, steps):
        view = question.view
        with torch.no_grad():
            suspicion = question.method.suspicion(view)
        done = push(question.method, view)
        owners, candidates = caption_image[anchors].cpu().numpy(), caption_image[pool].cpu().numpy()
        if view.direction == "i2t":
            codes = known_pairs.block(owners, pool.cpu().numpy())
        else:
            codes = known_pairs.block(candidates, anchors.cpu().numpy()).T
        codes = np.where(view.positive.cpu().numpy(), UNKNOWN, codes)
        similarity = view.similarity.detach()
        scores = torch.stack([similarity, torch.full_like(similarity, torch.nan) if suspicion is None else suspicion])
        own = view.positive_similarity.detach().cpu().numpy()
        found[view.direction].add(done, scores.cpu().numpy(), own, codes, owners, candidates)
        if view.direction == "t2i" and min(one.size() for one in found.values()) >= ENOUGH:
            break
    return found
