"""What one direction of a batch sees: as a whole, in parts, and as a sampler's candidates."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import wraps

import torch
from torch import Tensor

from .drawing import largest
from .inputs import NOTHING, Direction, Extras, Guide, Memory, can_be_looked_at, check_kinds, check_tensors
from .once import once
from .positives import same_image

CHUNK = 2**20
"""Similarities that a method sees at a time on a CPU, so that its temporaries stay in the cache."""
LISTWISE_CHUNK = 2**18
"""The same for losses over all candidates, whose graphs hold a dozen such parts."""
BLOCK = 64
"""Anchors whose products are made at once on a CPU; of fewer, a product costs more time per row."""
ALIKE = 1e-6
"""Similarities no farther apart than this are one: a product rounds the same features differently from place to place
(in single precision by some 2e-7). What compares a candidate with the partner must allow for it."""
DEVICE_CHUNK = 2**25
"""The same elsewhere: enough to keep a device busy, and little of its memory."""


def by_block(compute: Callable[["View"], Tensor]) -> "once[Tensor]":
    """A ``[B, N]`` property of ``View`` without gradient, computed for all anchors of its block at once.

    A product of few rows costs more time per row.
    """

    @wraps(compute)
    def get(view: "View") -> Tensor:
        if view.block is None:
            with torch.no_grad():
                return compute(view)
        first = view.start - view.block.start
        whole: Tensor = getattr(view.block, compute.__name__)
        return whole[first : first + len(view.anchors)]

    return once(get)


@dataclass(frozen=True)
class View:
    """One direction of a batch, or of a part of its anchors. The anchors' own partners are among the candidates."""

    direction: Direction
    anchors: Tensor
    """``[B, D]``"""
    candidates: Tensor
    """``[N, D]``"""
    anchor_ids: Tensor
    """``[B]`` image ids."""
    positive: Tensor
    """``[B, N]``: whether anchor and candidate have the same image id, or are known to match."""
    counterparts: Tensor
    """``[N, D]``: the candidates' own partners, which are of the anchors' modality."""
    generator: torch.Generator | None = None
    extras: Extras = NOTHING
    start: int = 0
    """The candidate that is the first anchor's own partner; the others' follow."""
    given: Tensor | None = None
    """``[B, N]``: the similarities, where they are known already."""
    given_within: Tensor | None = None
    """The same of ``within_similarity``."""
    block: "View | None" = None
    """What this is a part of, and shares its products with."""

    @property
    def own(self) -> slice:
        """The candidates that are the anchors' own partners."""
        return slice(self.start, self.start + len(self.anchors))

    @property
    def partners(self) -> Tensor:
        """``[B, D]``"""
        return self.candidates[self.own]

    @property
    def momentum(self) -> Tensor:
        """``[B, D]``: the anchors as the encoder of the candidates sees them, no gradient."""
        return self.counterparts[self.own].detach()

    @property
    def positive_similarity(self) -> Tensor:
        """``[B]`` of each anchor and its own partner."""
        return single((self.anchors * self.partners).sum(dim=1))

    @property
    def own_similarity(self) -> Tensor:
        """The same as entries of ``similarity``, without gradient: what candidates are compared with."""
        return self.similarity.detach().diagonal(self.start)

    @once
    def similarity(self) -> Tensor:
        """``[B, N]`` with gradient, whoever asks first; at least in single precision."""
        if self.given is not None:
            return self.given
        with torch.enable_grad():
            similarity = single(self.anchors @ self.candidates.T)
        self.check_finite(similarity)
        return similarity

    @once
    def within_similarity(self) -> Tensor:
        """``[B, N]`` of each anchor and the candidates' own partners, which are of its modality; with gradient."""
        if self.given_within is not None:
            return self.given_within
        with torch.enable_grad():
            return single(self.anchors @ self.counterparts.T)

    def check_finite(self, similarity: Tensor) -> None:
        """``ValueError`` where a candidate is not finite: then its similarity to the first anchor is not either.

        On a CPU only: elsewhere to look would make the step wait for the device.
        """
        if can_be_looked_at(similarity) and not (finite := similarity[0].isfinite()).all():
            name = "memory.text" if self.direction == "i2t" else "memory.image"
            raise ValueError(f"{name}: row {int(finite.int().argmin())} holds NaN or infinity")

    @property
    def guide(self) -> Guide:
        """The guide, for methods that need it."""
        assert self.extras.guide is not None  # ``needs`` was checked
        return self.extras.guide

    @by_block
    def momentum_similarity(self) -> Tensor:
        """``[B, N]``: the similarities as the encoder of the candidates sees the anchors."""
        return single(self.momentum @ self.candidates.T)

    @by_block
    def partner_similarity(self) -> Tensor:
        """``[B, N]`` of each candidate and the anchor's own partner, in the joint space."""
        return single(self.partners @ self.candidates.T)

    @by_block
    def counterpart_similarity(self) -> Tensor:
        """``[B, N]`` of the candidates' own partners and the anchor, as their encoder sees it: of its modality."""
        return single(self.momentum @ self.counterparts.T)

    @by_block
    def reverse_similarity(self) -> Tensor:
        """``[B, N]`` of the anchor's own partner and each candidate's: the other direction of the same pairs."""
        return single(self.partners @ self.counterparts.T)

    @by_block
    def likeness(self) -> Tensor:
        """``[B, N]``: how alike the guide finds each candidate and the anchor's own partner (one modality)."""
        features = self.guide.text if self.direction == "i2t" else self.guide.image
        return self.checked_guide(features[self.own] @ features.T)

    @by_block
    def within_likeness(self) -> Tensor:
        """``[B, N]``: how alike the guide finds the anchor and each candidate's partner (the anchor's modality)."""
        features = self.guide.image if self.direction == "i2t" else self.guide.text
        return self.checked_guide(features[self.own] @ features.T)

    @by_block
    def text_likeness(self) -> Tensor:
        """``[B, N]``: what the guide makes of each anchor's own caption and each candidate's."""
        return self.checked_guide(self.guide.text_likeness)

    @by_block
    def support_likeness(self) -> Tensor:
        """``[B, N]``: the largest similarity of each candidate's caption and a caption of the anchor's image."""
        return self.checked_guide(self.guide.support_likeness)

    def checked_guide(self, likeness: Tensor) -> Tensor:
        """``ValueError`` on a CPU where a candidate's features are not finite: then the first row is not either."""
        if can_be_looked_at(likeness) and not likeness[0].isfinite().all():
            raise ValueError("extras.guide: holds NaN or infinity")
        return likeness

    def part(self, rows: slice) -> "View":
        """The same candidates, seen by some of the anchors."""
        return replace(
            self,
            anchors=self.anchors[rows],
            anchor_ids=self.anchor_ids[rows],
            positive=self.positive[rows],
            extras=self.extras.part(rows),
            start=self.start + rows.start,
        )

    def rows(self, count: int) -> Iterator[slice]:
        """Parts of ``count`` anchors whose similarities stay in a processor's cache."""
        return self._rows(CHUNK, count)

    def _rows(self, chunk: int, count: int) -> Iterator[slice]:
        """About ``chunk`` similarities each; more where there is no such cache."""
        chunk = chunk if can_be_looked_at(self.anchors) else DEVICE_CHUNK
        return every(max(1, chunk // len(self.candidates)), count)

    def blocks(self) -> Iterator[slice]:
        """Parts of the anchors, large enough for fast products."""
        step = max(BLOCK, 0 if can_be_looked_at(self.anchors) else DEVICE_CHUNK // len(self.candidates))
        return every(step, len(self.anchors))

    def parts(self, similarity: Tensor, within: Tensor | None = None) -> Iterator["View"]:
        """Parts of a block with rows of its similarities ``[B, N]``, each the leaf of a graph."""
        for rows in self._rows(LISTWISE_CHUNK, len(self.anchors)):
            inner = None if within is None else within[rows].requires_grad_()
            yield replace(self.part(rows), given=similarity[rows].requires_grad_(), given_within=inner, block=self)


@torch.no_grad()
def above_partner(anchors: Tensor, candidates: Tensor) -> Tensor:
    """``[B, N]``: whether a candidate is more similar to the anchor than its partner, which has the same place."""
    similarity = single(anchors @ candidates.T)
    return similarity > similarity.diagonal()[:, None] + ALIKE


def together(one: View, other: View) -> bool:
    """Whether both directions are looked at as one: they are small, and a device waits for operations, not for numbers.

    On a CPU a part at a time stays in its cache.
    """
    few = 2 * len(one.anchors) * len(one.candidates) <= DEVICE_CHUNK
    return few and not can_be_looked_at(one.anchors) and len(one.candidates) == len(other.candidates)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """One below the other; one alone as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def products(pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """``[n B, N]``: the similarities of n pairs of anchors ``[B, D]`` and candidates ``[N, D]``, without gradient."""
    if len(pairs) == 1:
        return pairs[0][0] @ pairs[0][1].T
    anchors, candidates = pairs[0]
    found = anchors.new_empty(len(pairs) * len(anchors), len(candidates))
    for (rows, columns), part in zip(pairs, found.chunk(len(pairs)), strict=True):
        torch.mm(rows, columns.T, out=part)
    return found


def every(step: int, count: int) -> Iterator[slice]:
    """``count`` rows, ``step`` at a time."""
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def single(values: Tensor) -> Tensor:
    """Half precision to single: sums over many candidates overflow in half."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


@dataclass(frozen=True)
class Candidates:
    """What a sampler sees of one direction. No gradient flows through it."""

    similarity: Tensor
    """``[B, N]`` anchors x candidates; ``-inf`` where the candidate is a positive (equal ids)."""
    positive_similarity: Tensor
    """``[B]`` of each anchor and its own partner."""
    positive: Tensor
    """``[B, N]``: whether the candidate is a positive."""
    generator: torch.Generator | None = None
    direction: Direction = "i2t"
    dimension: int | None = None
    """Of the joint space; None where that is not known."""

    @property
    def known_dimension(self) -> int:
        """``ValueError`` where it is not known."""
        if self.dimension is None:
            raise ValueError("candidates: their dimension is not given, and the method needs it")
        return self.dimension

    @classmethod
    def of(
        cls,
        similarity: Tensor,
        positive_similarity: Tensor,
        anchor_ids: Tensor,
        candidate_ids: Tensor,
        generator: torch.Generator | None = None,
        direction: Direction = "i2t",
        dimension: int | None = None,
    ) -> "Candidates":
        """Mask the positives by their ids: ``anchor_ids [B]``, ``candidate_ids [N]``.

        ``similarity`` is changed in place, as a second ``[B, N]`` matrix would cost more than most choices; half
        precision becomes single.
        """
        check_tensors({"anchor_ids": anchor_ids, "candidate_ids": candidate_ids})
        positive = same_image(anchor_ids, candidate_ids)
        return cls.masked(similarity, positive_similarity, positive, generator, direction, dimension)

    @classmethod
    def masked(
        cls,
        similarity: Tensor,
        positive_similarity: Tensor,
        positive: Tensor,
        generator: torch.Generator | None = None,
        direction: Direction = "i2t",
        dimension: int | None = None,
    ) -> "Candidates":
        """The same, given the mask of positives ``[B, N]``."""
        given = {"similarity": similarity, "positive_similarity": positive_similarity, "positive": positive}
        check_tensors(given)
        similarity = single(similarity)
        # several times faster than masked_fill_
        torch.where(positive, similarity.new_full((), -torch.inf), similarity, out=similarity)
        return cls(similarity, single(positive_similarity), positive, generator, direction, dimension)

    @once
    def hardest(self) -> Tensor:
        """``[B]``: index of the most similar negative; any index where there is no negative."""
        return largest(self.similarity)

    @once
    def easiest(self) -> Tensor:
        """``[B]``: index of the least similar negative; any index where there is no negative."""
        return largest(torch.where(self.positive, -torch.inf, -self.similarity))


def views(
    image: Tensor,
    text: Tensor,
    ids: Tensor,
    memory: Memory | None = None,
    generator: torch.Generator | None = None,
    extras: Extras | None = None,
) -> Iterator[View]:
    """Both directions of a batch. A memory in another precision is converted to that of the batch."""
    check_kinds(image, text, ids, memory, generator, extras)
    extras = extras or NOTHING
    if memory is None:
        memory = Memory(image, text, ids)
    memory = Memory(memory.image.to(image.dtype), memory.text.to(text.dtype), memory.ids)
    same, known = same_image(ids, memory.ids), extras.known
    i2t, t2i = (same | known["i2t"], same | known["t2i"]) if known else (same, same)
    if known and extras.known_above:
        i2t, t2i = same | i2t & above_partner(image, memory.text), same | t2i & above_partner(text, memory.image)
    yield View("i2t", image, memory.text, ids, i2t, memory.image, generator, extras)
    yield View("t2i", text, memory.image, ids, t2i, memory.text, generator, extras)
