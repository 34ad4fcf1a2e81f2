"""The interface of a method: features of a batch in, a loss out.

A ``Sampler`` chooses one negative per anchor and trains on the triplet loss of the chosen pairs; it writes
``choose``. Any other ``Method`` writes ``view_loss``, what one direction costs; a ``Listwise`` one writes it as
``direction_loss`` of plain similarities. All see the same inputs, with or without a memory, and work in anybody's
trainer:

>>> import torch
>>> from methods import get
>>> sampler = get("hardest")()
>>> image = torch.nn.functional.normalize(torch.randn(8, 16), dim=1).requires_grad_()
>>> text = torch.nn.functional.normalize(torch.randn(8, 16), dim=1).requires_grad_()
>>> sampler.loss(image, text, ids=torch.arange(8)).backward()
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields
from difflib import get_close_matches
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

CHUNK = 2**20
"""Similarities that a sampler sees at a time on a CPU, so that its temporaries stay in the cache."""

WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)

Direction = Literal["i2t", "t2i"]
"""``i2t``: the anchor is an image, the candidates are texts; ``t2i`` the reverse."""


@dataclass(frozen=True)
class Range:
    """A search space between two numbers, both included; whole numbers where both ends are."""

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g} .. {self.high:g}" + (", log" if self.log else "")


@dataclass(frozen=True)
class Choice:
    """A search space of a few values."""

    options: tuple[Any, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))


class SettingError(ValueError):
    """A setting that is unknown, of the wrong type or out of range. One line, naming it."""


def setting(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] | None = None,
    search: Range | Choice | None = None,
) -> Any:
    """A field of ``Settings``: its default, what it means, what it may be, and what tuning tries."""
    return field(default=default, metadata={"doc": doc, "low": low, "high": high, "choices": choices, "search": search})


@dataclass(frozen=True)
class Settings:
    """Parameters of a method. Checked when made: ``SettingError``."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            object.__setattr__(self, entry.name, _checked(entry, getattr(self, entry.name)))

    @classmethod
    def of(cls, changes: Mapping[str, Any]) -> "Settings":
        """The defaults with ``changes``; unknown names are refused with the nearest valid one."""
        valid = [entry.name for entry in fields(cls)]
        for name in changes:
            if name not in valid:
                near = get_close_matches(name, valid, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(valid) or 'none'}"
                raise SettingError(f"unknown setting '{name}'; {hint}")
        return cls(**changes)

    def changed(self) -> dict[str, Any]:
        """The settings that differ from their defaults, sorted by name."""
        defaults = asdict(type(self)())
        return {name: value for name, value in sorted(asdict(self).items()) if value != defaults[name]}


def _checked(entry: "Field[Any]", value: Any) -> Any:
    """``value`` in the type of the default, or ``SettingError``."""
    kind, meta = type(entry.default), entry.metadata
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise SettingError(f"{entry.name}: {value!r} is no {kind.__name__}")
    low, high, choices = meta["low"], meta["high"], meta["choices"]
    if choices is not None and value not in choices:
        raise SettingError(f"{entry.name}: {value!r} is none of {', '.join(map(str, choices))}")
    if (
        (isinstance(value, float) and not math.isfinite(value))
        or (low is not None and value < low)
        or (high is not None and value > high)
    ):
        bounds = " and ".join(
            f"{word} {end:g}" for word, end in (("at least", low), ("at most", high)) if end is not None
        )
        raise SettingError(f"{entry.name}: {value!r} must be {bounds or 'a number'}")
    return value


class Memory(NamedTuple):
    """Candidates from a momentum encoder: the batch's own pairs first, then the queued ones."""

    image: Tensor
    """``[M, D]``, L2-normalised, no gradient; the first B rows are the momentum images of the batch."""
    text: Tensor
    """``[M, D]``, the same for the texts."""
    ids: Tensor
    """``[M]`` image ids."""


def checked_guide(likeness: Tensor) -> Tensor:
    """``ValueError`` on a CPU where a candidate's features are not finite: then the first row is not either."""
    if likeness.device.type == "cpu" and not likeness[0].isfinite().all():
        raise ValueError("extras.guide: holds NaN or infinity")
    return likeness


@dataclass(frozen=True)
class Guide:
    """What a frozen model makes of the pairs: L2-normalised features in spaces of their own, no gradient.

    Rows are those of the candidates: the memory's, or else the batch's.
    """

    image: Tensor
    """``[N, G]``"""
    text: Tensor
    """``[N, H]``"""
    support: Tensor
    """``[B, K, H]``: the captions of each anchor's image, its own first; where there are fewer, some repeat."""

    @cached_property
    def support_likeness(self) -> Tensor:
        """``[B, N]``: the largest similarity of each candidate's caption and a caption of the anchor's image."""
        likeness = self.support[:, 0] @ self.text.T
        for number in range(1, self.support.shape[1]):
            torch.maximum(likeness, self.support[:, number] @ self.text.T, out=likeness)
        return checked_guide(likeness)

    @cached_property
    def text_likeness(self) -> Tensor:
        """``[B, N]``: similarity of each anchor's own caption and each candidate's."""
        return checked_guide(self.support[:, 0] @ self.text.T)


class Words(NamedTuple):
    """The captions as text, and the way from a text into the joint space."""

    captions: Sequence[Sequence[str]]
    """Of each anchor's image, its own first."""
    encode: Callable[[list[str]], Tensor]
    """Texts to ``[n, D]``, L2-normalised, with gradient into the text encoder."""


@dataclass(frozen=True)
class Extras:
    """What is seen besides the joint space. A method names what it cannot do without in ``needs``."""

    captions: Tensor | None = None
    """``[B]``: a number for each caption of the batch, the same whenever it comes."""
    guide: Guide | None = None
    words: Words | None = None
    known: Mapping[Direction, Tensor] | None = None
    """``[B, N]`` for each direction: pairs that are positives besides those of equal ids."""


@dataclass(frozen=True)
class View:
    """One direction of a batch. The first B candidates are the anchors' own partners."""

    direction: Direction
    anchors: Tensor
    """``[B, D]``"""
    candidates: Tensor
    """``[N, D]``"""
    anchor_ids: Tensor
    """``[B]`` image ids."""
    positive: Tensor
    """``[B, N]``: whether anchor and candidate have the same image id, or are known to match."""
    momentum: Tensor
    """``[B, D]``: the anchors as the encoder of the candidates sees them, no gradient."""
    generator: torch.Generator | None = None
    extras: Extras = Extras()

    @property
    def partners(self) -> Tensor:
        """``[B, D]``"""
        return self.candidates[: len(self.anchors)]

    @property
    def positive_similarity(self) -> Tensor:
        """``[B]`` of each anchor and its own partner."""
        return _single((self.anchors * self.partners).sum(dim=1))

    @cached_property
    def similarity(self) -> Tensor:
        """``[B, N]`` with gradient, whoever asks first; at least in single precision."""
        with torch.enable_grad():
            similarity = _single(self.anchors @ self.candidates.T)
        self.check_finite(similarity)
        return similarity

    def check_finite(self, similarity: Tensor) -> None:
        """``ValueError`` where a candidate is not finite: then its similarity to the first anchor is not either.

        On a CPU only: elsewhere to look would make the step wait for the device.
        """
        if similarity.device.type == "cpu" and not (finite := similarity[0].isfinite()).all():
            name = "memory.text" if self.direction == "i2t" else "memory.image"
            raise ValueError(f"{name}: row {int(finite.int().argmin())} holds NaN or infinity")

    @property
    def guide(self) -> Guide:
        """The guide, for methods that need it."""
        assert self.extras.guide is not None  # ``needs`` was checked
        return self.extras.guide

    @property
    def likeness(self) -> Tensor:
        """``[B, N]``: how alike the guide finds each candidate and the anchor's own partner (one modality)."""
        features = self.guide.text if self.direction == "i2t" else self.guide.image
        return checked_guide(features[: len(self.anchors)] @ features.T)

    def rows(self) -> Iterator[slice]:
        """Parts of the anchors whose similarities stay in a processor's cache; all of them elsewhere."""
        anchors = len(self.anchors)
        step = max(1, CHUNK // len(self.candidates)) if self.anchors.device.type == "cpu" else anchors
        return (slice(start, min(start + step, anchors)) for start in range(0, anchors, step))


def _single(values: Tensor) -> Tensor:
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

    @classmethod
    def of(
        cls,
        similarity: Tensor,
        positive_similarity: Tensor,
        anchor_ids: Tensor,
        candidate_ids: Tensor,
        generator: torch.Generator | None = None,
        direction: Direction = "i2t",
    ) -> "Candidates":
        """Mask the positives by their ids: ``anchor_ids [B]``, ``candidate_ids [N]``.

        ``similarity`` is changed in place, as a second ``[B, N]`` matrix would cost more than most choices; half
        precision becomes single.
        """
        return cls.masked(
            similarity, positive_similarity, anchor_ids[:, None] == candidate_ids[None, :], generator, direction
        )

    @classmethod
    def masked(
        cls,
        similarity: Tensor,
        positive_similarity: Tensor,
        positive: Tensor,
        generator: torch.Generator | None = None,
        direction: Direction = "i2t",
    ) -> "Candidates":
        """The same, given the mask of positives ``[B, N]``."""
        similarity = _single(similarity)
        # several times faster than masked_fill_
        torch.where(positive, similarity.new_full((), -torch.inf), similarity, out=similarity)
        return cls(similarity, _single(positive_similarity), positive, generator, direction)

    @cached_property
    def hardest(self) -> Tensor:
        """``[B]``: index of the most similar negative; any index where there is no negative."""
        return largest(self.similarity)

    @cached_property
    def easiest(self) -> Tensor:
        """``[B]``: index of the least similar negative; any index where there is no negative."""
        return largest(torch.where(self.positive, -torch.inf, -self.similarity))


class Method(nn.Module, ABC):
    """A way to train on a batch of pairs. State (statistics, learnt temperatures) lives in buffers and parameters."""

    Settings: ClassVar[type[Settings]] = Settings
    needs: ClassVar[tuple[Literal["captions", "guide", "words"], ...]] = ()
    """Which fields of ``Extras`` the method cannot do without."""
    settings: Any

    def __init__(self, **changes: Any) -> None:
        super().__init__()
        self.settings = self.Settings.of(changes)
        self.chosen: dict[Direction, Tensor] = {}
        """After ``loss``: per direction the index ``[B]`` (or ``[B, k]``) of the candidate each anchor was pushed
        from, -1 for none. Empty for methods that push from all candidates at once."""

    def loss(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,
        memory: Memory | None = None,
        generator: torch.Generator | None = None,
        extras: Extras | None = None,
    ) -> Tensor:
        """Scalar loss of a batch: both directions added.

        Args:
            image: ``[B, D]``, L2-normalised; any floating type.
            text: ``[B, D]``, the partners, likewise.
            ids: ``[B]`` image ids; equal ids are positives of each other and never pushed apart.
            memory: the candidates; the batch itself where not given. An anchor without a negative pays nothing
                in a triplet loss.
            generator: of all random draws, on the device of ``image``.
            extras: what the method ``needs``.

        Raises:
            ValueError: names the argument that does not fit. What is not finite is found on a CPU only: to look for
                it elsewhere would make every step wait for the device.
        """
        check(image, text, ids, memory, generator)
        extras = extras or Extras()
        check_extras(extras, self, len(ids), len(ids) if memory is None else len(memory.ids))
        self.begin(image, text, ids, extras)
        total = image.new_zeros(())
        for view in views(image, text, ids, memory, generator, extras):
            total = total + self.view_loss(view)
        return total

    @abstractmethod
    def view_loss(self, view: View) -> Tensor:
        """Scalar loss of one direction."""

    def begin(self, image: Tensor, text: Tensor, ids: Tensor, extras: Extras) -> None:
        """Called first in each step with the batch, ``[B, D]``, ``[B, D]``, ``[B]``."""

    def start_epoch(self) -> None:
        """Called before each epoch; for methods whose statistics start anew."""

    def report(self) -> dict[str, float]:
        """What to note of the epoch that ended; the names become columns of the history."""
        return {}

    def suspicion(self, view: View) -> Tensor | None:
        """How much the method takes each candidate for a false negative: ``[B, N]`` in [0, 1], without gradient.

        A probability, a share or a mask, as it would count in the loss of this view; for the audit. None for
        methods that have no such idea.
        """
        return None


@dataclass(frozen=True)
class TripletSettings(Settings):
    """Settings of every triplet loss."""

    margin: float = setting(0.2, "margin of the triplet loss", low=0.0, high=2.0, search=Range(0.05, 0.4))


class Sampler(Method):
    """A method that chooses one negative per anchor and direction for the triplet loss."""

    Settings: ClassVar[type[Settings]] = TripletSettings

    @abstractmethod
    def choose(self, candidates: Candidates) -> Tensor:
        """Index ``[B]`` of one negative per anchor; any index for an anchor that has none.

        Called on parts of a batch, without gradient: an anchor's choice must not depend on the other anchors.
        """

    def observe(self, similarity: Tensor, ids: Tensor) -> None:
        """See the in-batch similarities ``[B, B]`` (image x text, no gradient) before choosing.

        Positives known besides the ids are ``-inf``, but for the partners.
        """

    def pair_loss(self, positive: Tensor, negative: Tensor) -> Tensor:
        """What an anchor pays, ``[B]``, from its similarities to its positive and its chosen negative, ``[B]`` each."""
        return torch.relu(self.settings.margin + negative - positive)

    @torch.no_grad()
    def begin(self, image: Tensor, text: Tensor, ids: Tensor, extras: Extras) -> None:
        if type(self).observe is Sampler.observe:  # nobody looks
            return
        similarity = _single(image @ text.T)
        if extras.known:
            known = extras.known["i2t"][:, : len(ids)] & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)
            similarity = similarity.masked_fill(known, -torch.inf)
        self.observe(similarity, ids)

    def view_loss(self, view: View) -> Tensor:
        """Mean over anchors of ``[margin + s(anchor, negative) - s(anchor, positive)]_+``.

        The gradient touches the chosen rows only, so backward does not depend on the number of candidates.
        """
        index = self.pick(view)
        chosen = view.candidates.index_select(0, index.clamp_min(0))
        cost = self.pair_loss(view.positive_similarity, _single((view.anchors * chosen).sum(dim=1)))
        return torch.where(index >= 0, cost, 0).mean()

    @torch.no_grad()
    def pick(self, view: View) -> Tensor:
        """``choose`` for all anchors, -1 where the choice is no negative; remembered in ``chosen``."""
        similarity, own = view.anchors @ view.candidates.T, view.positive_similarity
        view.check_finite(similarity)
        picked = []
        for rows in view.rows():
            positive = view.positive[rows]
            index = self.choose(
                Candidates.masked(similarity[rows], own[rows], positive, view.generator, view.direction)
            )
            none = positive.gather(1, index.view(len(index), -1)).view(index.shape)
            picked.append(torch.where(none, -1, index))
        self.chosen[view.direction] = torch.cat(picked)
        return self.chosen[view.direction]


class Listwise(Method):
    """A loss over all candidates at once. It writes what one direction costs."""

    def view_loss(self, view: View) -> Tensor:
        return self.direction_loss(view.similarity, view.positive)

    @abstractmethod
    def direction_loss(self, similarity: Tensor, positive: Tensor) -> Tensor:
        """Scalar, from ``similarity [B, N]`` and the mask ``positive [B, N]`` (equal ids).

        Column i of row i, for i < B, is the anchor's own partner.
        """


def views(
    image: Tensor,
    text: Tensor,
    ids: Tensor,
    memory: Memory | None = None,
    generator: torch.Generator | None = None,
    extras: Extras | None = None,
) -> Iterator[View]:
    """Both directions of a batch. A memory in another precision is converted to that of the batch."""
    extras = extras or Extras()
    if memory is None:
        memory = Memory(image, text, ids)
    memory = Memory(memory.image.to(image.dtype), memory.text.to(text.dtype), memory.ids)
    batch = slice(0, len(ids))
    same, known = ids[:, None] == memory.ids[None, :], extras.known
    i2t, t2i = (same | known["i2t"], same | known["t2i"]) if known else (same, same)
    yield View("i2t", image, memory.text, ids, i2t, memory.image[batch].detach(), generator, extras)
    yield View("t2i", text, memory.image, ids, t2i, memory.text[batch].detach(), generator, extras)


def check(image: Tensor, text: Tensor, ids: Tensor, memory: Memory | None, generator: torch.Generator | None) -> None:
    """``ValueError`` naming the argument of ``Method.loss`` that does not fit: shape, type, device, finite values."""
    if image.dim() != 2 or not image.is_floating_point():
        raise ValueError(f"image: expected [B, D] floating-point numbers, got {list(image.shape)} {image.dtype}")
    if len(image) == 0:
        raise ValueError("image: the batch is empty")
    if not len(image) == len(text) == len(ids):
        raise ValueError(f"image, text and ids differ in length: {len(image)}, {len(text)}, {len(ids)}")
    if text.shape != image.shape or text.dtype != image.dtype:
        raise ValueError(f"text: {list(text.shape)} {text.dtype} is not the {list(image.shape)} {image.dtype} of image")
    numbers = {"ids": ids} if memory is None else {"ids": ids, "memory.ids": memory.ids}
    for name, values in numbers.items():
        if values.dim() != 1 or values.dtype not in WHOLE:
            raise ValueError(
                f"{name}: expected one dimension of whole numbers, got {list(values.shape)} {values.dtype}"
            )
    if memory is not None:
        if not len(memory.image) == len(memory.text) == len(memory.ids):
            rows = f"{len(memory.image)}, {len(memory.text)}, {len(memory.ids)}"
            raise ValueError(f"memory: image, text and ids differ in length: {rows}")
        if len(memory.ids) < len(image) or memory.image.shape[1:] != image.shape[1:]:
            raise ValueError(
                f"memory: {list(memory.image.shape)} does not begin with the {list(image.shape)} of the batch"
            )
        if memory.image.shape != memory.text.shape:
            raise ValueError(f"memory: image {list(memory.image.shape)} and text {list(memory.text.shape)} differ")
        if not (memory.image.is_floating_point() and memory.text.is_floating_point()):
            raise ValueError(f"memory: expected floating-point numbers, got {memory.image.dtype}, {memory.text.dtype}")
        own = memory.ids[: len(ids)]
        if own.device.type == ids.device.type == "cpu" and not torch.equal(own, ids.to(own.dtype)):
            raise ValueError("memory: its first rows must be the batch's own pairs; its first ids are others")
    places = {"text": text.device, "ids": ids.device} | ({"generator": generator.device} if generator else {})
    places |= {f"memory.{name}": value.device for name, value in memory._asdict().items()} if memory else {}
    for name, device in places.items():
        if device.type != image.device.type:
            raise ValueError(f"{name}: on {device}, but image is on {image.device}")
    for name, features in (("image", image), ("text", text)):
        if features.device.type == "cpu" and not (finite := features.detach().isfinite().all(dim=1)).all():
            raise ValueError(f"{name}: row {int(finite.int().argmin())} holds NaN or infinity")


def check_extras(extras: Extras, method: Method, anchors: int, candidates: int) -> None:
    """``ValueError`` naming the part of ``Extras`` that ``method`` needs and lacks, or that does not fit B and N."""
    for need in method.needs:
        if getattr(extras, need) is None:
            raise ValueError(f"extras: {type(method).__name__} needs extras.{need}")
    shapes: dict[str, tuple[Tensor, tuple[int, ...]]] = {}
    if extras.captions is not None:
        shapes["captions"] = extras.captions, (anchors,)
        if extras.captions.dtype not in WHOLE:
            raise ValueError(f"extras.captions: expected whole numbers, got {extras.captions.dtype}")
    if extras.guide is not None:
        image, text, support = extras.guide.image, extras.guide.text, extras.guide.support
        shapes["guide.image"] = image, (candidates, *image.shape[1:2])
        shapes["guide.text"] = text, (candidates, *text.shape[1:2])
        shapes["guide.support"] = support, (anchors, *support.shape[1:2], *text.shape[1:2])
    for direction in ("i2t", "t2i") if extras.known is not None else ():
        if direction not in (extras.known or {}):
            raise ValueError(f"extras.known: no mask for {direction}")
        shapes[f"known[{direction}]"] = (extras.known or {})[direction], (anchors, candidates)
    for name, (found, expected) in shapes.items():
        if found.shape != expected:
            raise ValueError(f"extras.{name}: expected {list(expected)}, got {list(found.shape)}")
        if name.startswith("known") and found.dtype != torch.bool:
            raise ValueError(f"extras.{name}: expected a mask of booleans, got {found.dtype}")
        if name == "guide.support" and found.device.type == "cpu" and not found.isfinite().all():
            raise ValueError(f"extras.{name}: holds NaN or infinity")
    if extras.words is not None:
        captions = extras.words.captions
        if len(captions) != anchors or any(isinstance(some, str) or not some for some in captions):
            raise ValueError(f"extras.words.captions: expected a list of texts for each of {anchors} anchors")


def draw(weights: Tensor, generator: torch.Generator | None) -> Tensor:
    """One index per row of ``weights [B, N]``, with probability proportional to the weight: ``[B]``.

    First a block of columns by its sum, then a column of that block: some ``B (N / 256 + 256)`` random numbers
    instead of ``B N``, which cost more than the similarities themselves. Either draw is an exponential race (the
    largest ``w / e`` with ``e ~ Exp(1)``), which needs no normalisation. A row of zeros gives any index.
    """
    parts = blocks(weights, 0)
    block = race(parts.sum(dim=2), generator)
    within = race(parts[torch.arange(len(parts), device=weights.device), block], generator)
    return (block * parts.shape[2] + within).clamp_max(weights.shape[1] - 1)


def race(weights: Tensor, generator: torch.Generator | None) -> Tensor:
    """An exponential race along the last dimension: the index drawn by weight; any where all weights are zero."""
    clock = torch.empty(weights.shape, dtype=weights.dtype, device=weights.device).exponential_(generator=generator)
    return (weights / clock.clamp_min_(torch.finfo(weights.dtype).tiny)).argmax(dim=-1)


def largest(values: Tensor) -> Tensor:
    """Index ``[B]`` of the largest of each row of ``values [B, N]``.

    By blocks, as a plain argmax costs a CPU ten times as much as the maximum.
    """
    parts = blocks(values, -torch.inf)
    block = parts.amax(dim=2).argmax(dim=1)
    within = parts[torch.arange(len(parts), device=values.device), block].argmax(dim=1)
    return (block * parts.shape[2] + within).clamp_max(values.shape[1] - 1)


def blocks(values: Tensor, fill: float) -> Tensor:
    """``values [B, N]`` as ``[B, blocks, width]``, a view where N is a multiple of 64, else filled up."""
    rows, columns = values.shape
    width = math.gcd(columns, 256)
    if width < 64:
        width = min(256, columns)
        values = nn.functional.pad(values, (0, -columns % width), value=fill)
    return values.view(rows, -1, width)
