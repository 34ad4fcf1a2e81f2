"""FNE: draws negatives by closeness and by their probability of being a false negative.

H. Li, Y. Bin, J. Liao, Y. Yang, H. T. Shen: Your Negative May not Be True Negative: Boosting Image-Text Matching
with False Negative Elimination, ACM MM 2023. The defaults are the numbers of the authors' code.

1. Statistics: Normal(mu+, sigma+) of the positives' similarity and Normal(mu-, sigma-) of the hardest in-batch
   negatives', over the pairs that rank first in both directions of their batch.
2. A candidate's weight is its closeness ``exp(-tau_close (s - s+)^2)``; where its posterior
   ``p = P(match | s)``, with prior 1 / ``prior``, exceeds ``threshold``, it is ``exp(-tau_false p)`` instead (or
   ``1 - p``: ``false_weight``).
3. Cut-down: the weight of easy candidates, ``s <= mu+ - cut_offset``, is ``cut_weight``.
4. One negative per anchor is drawn by weight; where all weights are zero, the hardest is taken.

Five things differ from the authors' code on purpose. The posterior is computed in log space (theirs is 0 / 0 some 13
sigma away). Variances are exact, not around a drifting mean (``moments=official`` has theirs, bit for bit where both
sum in float64). Nothing is cut before the first statistics. In the statistics a caption of the anchor's own image is no
negative, where theirs leave out the partner only; and a hardest negative may lie below 0, where theirs, which put 0 in
the partner's place, may not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from .base import Candidates, Choice, Curves, Range, Sampler, Settings, TripletSettings, View, race, setting
from .interface.drawing import blocks
from .interface.inputs import can_be_looked_at
from .interface.positives import same_image


@dataclass(frozen=True)
class WeighingSettings(Settings):
    """How candidates are weighed; without the loss that follows."""

    tau_close: float = setting(
        0.5, "decay of the weight with the squared distance to s+", low=0.0, search=Range(0.05, 200.0, log=True)
    )
    bell: str = setting(
        "both",
        "closeness on both sides of s+, or on the left only (1 above s+)",
        choices=("both", "left"),
        search=Choice(("both", "left")),
    )
    tau_false: float = setting(
        0.5, "decay of the weight with the false-negative probability", low=0.0, search=Range(0.05, 20.0, log=True)
    )
    false_weight: str = setting(
        "decay",
        "weight of a possible false negative: exp(-tau_false p), or the probability 1 - p of a true negative",
        choices=("decay", "probability"),
        search=Choice(("decay", "probability")),
    )
    prior: float = setting(
        10000.0, "a candidate matches once in this many", low=1.01, search=Range(100.0, 100000.0, log=True)
    )
    threshold: float = setting(
        0.001, "posterior above which a candidate counts as a possible false negative", low=0.0, high=1.0
    )
    cut: str = setting(
        "global",
        "easy candidates lie below mu+ (global) or the anchor's own s+ (anchor) minus the offset; none: no cut",
        choices=("global", "anchor", "none"),
        search=Choice(("global", "anchor")),
    )
    cut_offset: float = setting(
        0.2, "distance of the cut below mu+ or s+; the authors take the margin", low=0.0, search=Range(0.02, 0.6)
    )
    cut_weight: float = setting(
        0.0, "weight of the candidates that are cut", low=0.0, high=1.0, search=Choice((0.0, 0.001, 0.01, 0.1))
    )
    statistics: str = setting(
        "epoch",
        "statistics start anew every epoch, run on over all, or run on and forget exponentially",
        choices=("epoch", "running", "forget"),
    )
    forgetting: float = setting(
        0.99, "share of the old statistics kept at each step, where they forget", low=0.0, high=1.0
    )
    moments: str = setting(
        "exact",
        "variance in one stable pass, or official: around the mean so far, as the authors' code has it",
        choices=("exact", "official"),
    )
    pairs: str = setting(
        "mutual", "statistics of pairs that rank first in both directions, or of all pairs", choices=("mutual", "all")
    )
    minimum_count: int = setting(200, "pairs seen before the posterior is used", low=2)


@dataclass(frozen=True)
class FNESettings(WeighingSettings, TripletSettings):
    """Weighing and the triplet loss."""


class Weighed(NamedTuple):
    """Candidates after weighing; in the shape of their similarities."""

    weights: Tensor
    """In [0, 1]; 0 for positives."""
    kept: Tensor
    """Whether the candidate survives the cut; no positive does."""
    flagged: Tensor
    """Whether it does and its posterior exceeds the threshold."""


class Line(NamedTuple):
    """The logit of the posterior, ``(z- - z+) (z- + z+) / 2 + constant``; its factors are linear in the similarity."""

    difference_at_0: Tensor
    difference: Tensor
    total_at_0: Tensor
    total: Tensor
    constant: Tensor


class FNE(Sampler):
    """P(draw) ~ ``exp(-tau_false p)`` where ``p > threshold`` else ``exp(-tau_close (s - s+)^2)``; 0 if easy."""

    Settings: ClassVar[type[WeighingSettings]] = FNESettings
    noted: Tensor
    """Sums over an epoch: anchors, candidates, those kept, those flagged, effective candidates."""

    def __init__(self, **changes: object) -> None:
        super().__init__(**changes)
        kind = OfficialMoments if self.settings.moments == "official" else Moments
        self.positive, self.negative = kind(), kind()
        self.register_buffer("noted", torch.zeros(5, dtype=torch.float64))

    def start_epoch(self) -> None:
        self.noted.zero_()
        if self.settings.statistics == "epoch":
            self.positive.reset()
            self.negative.reset()

    def report(self) -> dict[str, float]:
        """Both distributions and the pairs they come from; what weighing did to the candidates (negatives only).

        ``cut`` and ``flagged``: shares of them that were cut, or kept with a posterior above the threshold.
        ``effective``: effective number of candidates of an anchor, ``(sum w)^2 / sum w^2``, the mean over anchors.
        """
        anchors, candidates, kept, flagged, effective = self.noted.tolist()
        return {
            "positive_mean": float(self.positive.mean),
            "positive_std": float(self.positive.std),
            "negative_mean": float(self.negative.mean),
            "negative_std": float(self.negative.std),
            "pairs": float(self.positive.count),
            "cut": (candidates - kept) / max(candidates, 1),
            "flagged": flagged / max(candidates, 1),
            "effective": effective / max(anchors, 1),
        }

    def observe(self, similarity: Tensor, ids: Tensor) -> None:
        own = similarity.diagonal()
        negatives = similarity.masked_fill(same_image(ids, ids), -torch.inf)
        hardest_text, hardest_image = negatives.amax(dim=1), negatives.amax(dim=0)
        keep = hardest_text > -torch.inf
        if self.settings.pairs == "mutual":
            keep = keep & (own > hardest_text) & (own > hardest_image)
        if self.settings.statistics == "forget":
            self.positive.forget(self.settings.forgetting)
            self.negative.forget(self.settings.forgetting)
        self.positive.update(own, keep)
        self.negative.update(torch.stack([hardest_text, hardest_image], dim=1).flatten(), keep.repeat_interleave(2))

    def choose(self, candidates: Candidates) -> Tensor:
        return self.sample(candidates, 1)[:, 0]

    def sample(self, candidates: Candidates, count: int) -> Tensor:
        """``[B, count]`` independent draws: first a block of candidates by the sum of its weights, then one of it."""
        similarity, own = blocks(candidates.similarity, -torch.inf), candidates.positive_similarity
        top, line = similarity.amax(dim=2), self.line(similarity.dtype)
        sums = self._block_sums(similarity, own, top, candidates, line)
        empty = (sums.sum(dim=1) == 0)[:, None]
        block = race(sums[:, None, :].expand(-1, count, -1), candidates.generator)
        block = torch.where(empty, top.argmax(dim=1)[:, None], block)
        part = similarity[torch.arange(len(own), device=own.device)[:, None], block]
        weights = self.weigh(part, own[:, None, None], line).weights
        within = torch.where(empty, part.argmax(dim=2), race(weights, candidates.generator))
        return (block * part.shape[2] + within).clamp_max(candidates.similarity.shape[1] - 1)

    def _block_sums(self, similarity: Tensor, own: Tensor, top: Tensor, candidates: Candidates, line: "Line") -> Tensor:
        """Sum of the weights of each block: ``[B, blocks]``.

        On a CPU only blocks in which some candidate survives the cut are weighed, which saves most of the work.
        Elsewhere all are: to find those blocks would make every step wait for the device.
        """
        if not can_be_looked_at(similarity):
            weighed = self.weigh(similarity, own[:, None, None], line)
            sums, squares = weighed.weights.sum(dim=2), weighed.weights.square().sum(dim=2)
        else:
            rows, columns = (top > self._cut(own[:, None])).nonzero(as_tuple=True)
            weighed = self.weigh(similarity[rows, columns], own[rows, None], line)
            easy = float(self.settings.cut_weight)
            negatives = torch.zeros_like(top)
            if easy > 0:
                negatives += (~blocks(candidates.positive, True)).sum(dim=2)
            sums, squares = negatives * easy, negatives * easy**2
            sums[rows, columns] = weighed.weights.sum(dim=1)
            squares[rows, columns] = weighed.weights.square().sum(dim=1)
        effective = sums.sum(dim=1).square() / squares.sum(dim=1).clamp_min(1e-30)
        found = (weighed.kept.count_nonzero(), weighed.flagged.count_nonzero(), effective.sum())
        self.noted[2:] += torch.stack([value.double() for value in found])
        self.noted[0] += len(own)
        self.noted[1] += candidates.positive.numel() - candidates.positive.count_nonzero()
        return sums

    def weigh(self, similarity: Tensor, own: Tensor, line: "Line | None" = None) -> Weighed:
        """Weigh candidates of any shape (positives: ``-inf``), given the positives' similarities in a like shape.

        ``line``: of this moment's statistics, where it is known already.
        """
        options = self.settings
        posterior = self.posterior(similarity, line)
        suspected = posterior > options.threshold
        # exponent: what w = exp(-exponent) is taken of
        exponent = similarity - own
        if options.bell == "left":
            exponent.clamp_max_(0)
        exponent.square_().mul_(options.tau_close)
        if options.false_weight == "decay":
            posterior.mul_(options.tau_false)
        else:
            posterior.neg_().log1p_().neg_()  # exp(log(1 - p))
        weights = torch.where(suspected, posterior, exponent, out=exponent).neg_().exp_()
        kept = similarity > self._cut(own)
        torch.where(kept, weights, weights.new_full((), options.cut_weight), out=weights)
        if options.cut_weight > 0:
            torch.where(similarity > -torch.inf, weights, weights.new_zeros(()), out=weights)
        return Weighed(weights, kept, suspected & kept)

    def posterior(self, similarity: Tensor, line: "Line | None" = None) -> Tensor:
        """``P(match | s)`` by Bayes' rule; zero before ``minimum_count`` pairs were seen.

        ``sigmoid(log N+ - log N- - log(prior - 1))``, where the difference of squares in the exponents is written
        as a product, so that it stays exact far out in the tails.
        """
        line = line or self.line(similarity.dtype)
        difference = torch.addcmul(line.difference_at_0, similarity, line.difference)
        total = torch.addcmul(line.total_at_0, similarity, line.total)
        posterior: Tensor = difference.mul_(total).add_(line.constant).sigmoid_()
        return posterior

    def line(self, kind: torch.dtype) -> "Line":
        """What the statistics of the moment make of a posterior."""
        positive, negative = self.positive, self.negative
        positive_std, negative_std = positive.std, negative.std
        # (z- - z+) and (z- + z+) are linear in s, with z = (s - mean) / std
        slopes = torch.stack([1 / negative_std, 1 / positive_std])
        shifts = -slopes * torch.stack([negative.mean, positive.mean])
        minus, plus = slopes[0] - slopes[1], slopes[0] + slopes[1]
        constant = torch.log(negative_std / positive_std) - math.log(self.settings.prior - 1)
        ready = positive.count > self.settings.minimum_count
        scale = torch.where(ready, 0.5, 0.0)
        return Line(
            (scale * (shifts[0] - shifts[1])).to(kind),
            (scale * minus).to(kind),
            (shifts[0] + shifts[1]).to(kind),
            plus.to(kind),
            torch.where(ready, constant, -torch.inf).to(kind),
        )

    def suspicion(self, view: View) -> Tensor:
        """The posterior."""
        return self.posterior(view.similarity)

    def curves(self, reported: Mapping[str, float], similarity: Tensor) -> Curves | None:
        """Of an anchor whose positive is as similar as their mean."""
        needed = [f"{kind}_{what}" for kind in ("positive", "negative") for what in ("mean", "std")]
        if not all(math.isfinite(reported.get(name, math.nan)) for name in (*needed, "pairs")):
            return None
        pairs = reported["pairs"]
        for kind, moments, count in (("positive", self.positive, pairs), ("negative", self.negative, 2 * pairs)):
            moments.count.fill_(count)
            moments.mean.fill_(reported[f"{kind}_mean"])
            moments.squares.fill_(reported[f"{kind}_std"] ** 2 * max(count - 1, 0))
        own = similarity.new_full((1, 1), reported["positive_mean"])
        return Curves(
            weight=self.weigh(similarity[None], own).weights[0],
            posterior=self.posterior(similarity[None])[0],
            normals={
                "positives": (reported["positive_mean"], reported["positive_std"]),
                "hardest negatives": (reported["negative_mean"], reported["negative_std"]),
            },
            fitted_to="training pairs that rank first in both directions"
            if self.settings.pairs == "mutual"
            else "all training pairs",
        )

    def _cut(self, own: Tensor) -> Tensor:
        """Threshold of the cut-down, one for all or in the shape of ``own``."""
        lowest = own.new_full((), -torch.inf)
        if self.settings.cut == "none":
            return lowest
        if self.settings.cut == "anchor":
            return own - float(self.settings.cut_offset)
        mean = self.positive.mean.to(own.dtype)
        return torch.where(self.positive.count > 0, mean - self.settings.cut_offset, lowest)


class Moments(nn.Module):
    """Count, mean and variance of a stream, merged batch by batch (Chan, Golub, LeVeque 1983), in float64.

    Exact where the authors' code is not: theirs sums squared distances from the mean so far, which still drifts, so
    that its variance depends on the order of the stream (``OfficialMoments``).
    """

    count: Tensor
    mean: Tensor
    squares: Tensor
    """Sum of squared distances from the mean."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("count", "mean", "squares"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    def reset(self) -> None:
        for buffer in self.buffers():
            buffer.zero_()

    def forget(self, share: float) -> None:
        """Let all that was seen count for ``share`` of what it did."""
        self.count *= share
        self.squares *= share

    def update(self, values: Tensor, keep: Tensor) -> None:
        """Add those of ``values [n]`` where ``keep [n]``."""
        values = torch.where(keep, values, 0).double()
        count = keep.sum()
        mean = values.sum() / count.clamp_min(1)
        squares = ((values - mean).square() * keep).sum()
        total = (self.count + count).clamp_min(1)
        distance = mean - self.mean
        self.squares += squares + distance.square() * self.count * count / total
        self.mean += distance * count / total
        self.count += count

    @property
    def std(self) -> Tensor:
        """Sample standard deviation; at least 1e-6, so that a constant stream gives a steep, finite density."""
        return (self.squares / (self.count - 1).clamp_min(1)).sqrt().clamp_min(1e-6)


class OfficialMoments(Moments):
    """As the authors' code has it: sums in the order of the stream, squares around the mean so far.

    On a CPU its sums are those of a plain loop in float64, bit for bit (``cumsum`` adds one after the other); elsewhere
    the order is the device's. The authors sum in the precision of the similarities, single for most.
    """

    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros((), dtype=torch.float64))

    def forget(self, share: float) -> None:
        super().forget(share)
        self.total *= share

    def update(self, values: Tensor, keep: Tensor) -> None:
        values = values.double()
        self.count += keep.sum()
        self.total.copy_(_one_by_one(self.total, torch.where(keep, values, 0)))
        self.mean.copy_(torch.where(self.count > 0, self.total / self.count, self.mean))
        self.squares.copy_(_one_by_one(self.squares, torch.where(keep, (values - self.mean).square(), 0)))


def _one_by_one(start: Tensor, values: Tensor) -> Tensor:
    if start.device.type != "cpu":
        return start + values.sum()
    return torch.cat([start[None], values]).cumsum(dim=0)[-1]
