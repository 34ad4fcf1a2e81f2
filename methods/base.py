"""The interface of a method: features of a batch in, a loss out.

A ``Sampler`` chooses one negative per anchor and trains on the triplet loss of the chosen pairs; it writes
``choose``. Any other ``Method`` writes ``loss``. Both see the same inputs, with or without a memory, and both
work in anybody's trainer:

>>> import torch
>>> from methods import get
>>> sampler = get("hardest")()
>>> image = torch.nn.functional.normalize(torch.randn(8, 16), dim=1).requires_grad_()
>>> text = torch.nn.functional.normalize(torch.randn(8, 16), dim=1).requires_grad_()
>>> sampler.loss(image, text, ids=torch.arange(8)).backward()
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from difflib import get_close_matches
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

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


@dataclass(frozen=True)
class Candidates:
    """What a sampler sees of one direction. No gradient flows through it."""

    similarity: Tensor
    """``[B, N]`` anchors x candidates; ``-inf`` where the candidate is a positive (equal ids)."""
    positive_similarity: Tensor
    """``[B]`` of each anchor and its own partner."""
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

        ``similarity`` is changed in place, as a second ``[B, N]`` matrix would cost more than most choices.
        """
        similarity.masked_fill_(anchor_ids[:, None] == candidate_ids[None, :], -torch.inf)
        return cls(similarity, positive_similarity, generator, direction)

    @cached_property
    def hardest(self) -> Tensor:
        """``[B]``: index of the most similar negative; any index where there is no negative."""
        return self.similarity.argmax(dim=1)


class Method(nn.Module, ABC):
    """A way to train on a batch of pairs. State (statistics, learnt temperatures) lives in buffers and parameters."""

    Settings: ClassVar[type[Settings]] = Settings
    settings: Any

    def __init__(self, **changes: Any) -> None:
        super().__init__()
        self.settings = self.Settings.of(changes)
        self.chosen: dict[Direction, Tensor] = {}
        """After ``loss``: per direction the index ``[B]`` of the candidate each anchor was pushed from, -1 for
        none. Empty for methods that push from all candidates at once."""

    @abstractmethod
    def loss(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,
        memory: Memory | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Scalar loss of a batch: ``image [B, D]``, ``text [B, D]``, L2-normalised, ``ids [B]`` image ids.

        Candidates are the batch itself or, where given, the memory. Random draws come from ``generator``.
        """

    def start_epoch(self) -> None:
        """Called before each epoch; for methods whose statistics start anew."""

    def report(self) -> dict[str, float]:
        """What to note of the epoch that ended; the names become columns of the history."""
        return {}


@dataclass(frozen=True)
class TripletSettings(Settings):
    """Settings of every triplet loss."""

    margin: float = setting(0.2, "margin of the triplet loss", low=0.0, high=2.0, search=Range(0.05, 0.4))


class Sampler(Method):
    """A method that chooses one negative per anchor and direction for the triplet loss."""

    Settings: ClassVar[type[Settings]] = TripletSettings

    @abstractmethod
    def choose(self, candidates: Candidates) -> Tensor:
        """Index ``[B]`` of one negative per anchor; any index for an anchor that has none."""

    def observe(self, similarity: Tensor, ids: Tensor) -> None:
        """See the in-batch similarities ``[B, B]`` (image x text, no gradient) before choosing."""

    def pair_loss(self, positive: Tensor, negative: Tensor) -> Tensor:
        """What an anchor pays, ``[B]``, from its similarities to its positive and its chosen negative, ``[B]`` each."""
        return torch.relu(self.settings.margin + negative - positive)

    def loss(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,
        memory: Memory | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Mean over anchors of ``[margin + s(anchor, negative) - s(anchor, positive)]_+``, both directions added.

        The gradient touches the chosen rows only, so backward does not depend on the number of candidates.
        """
        with torch.no_grad():
            self.observe(image @ text.T, ids)
        total = image.new_zeros(())
        for direction, anchors, candidates, candidate_ids in views(image, text, ids, memory):
            positives = candidates[: len(anchors)]
            with torch.no_grad():
                seen = Candidates.of(
                    anchors @ candidates.T, (anchors * positives).sum(dim=1), ids, candidate_ids, generator, direction
                )
                index = self.choose(seen)
                negative = seen.similarity.gather(1, index[:, None])[:, 0] > -torch.inf
            self.chosen[direction] = torch.where(negative, index, -1)
            chosen = candidates.index_select(0, index)
            cost = self.pair_loss((anchors * positives).sum(dim=1), (anchors * chosen).sum(dim=1))
            total = total + (cost * negative).mean()
        return total


class Listwise(Method):
    """A loss over all candidates at once. It writes what one direction costs."""

    @abstractmethod
    def direction_loss(self, similarity: Tensor, positive: Tensor) -> Tensor:
        """Scalar, from ``similarity [B, N]`` and the mask ``positive [B, N]`` (equal ids).

        Column i of row i, for i < B, is the anchor's own partner.
        """

    def loss(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,
        memory: Memory | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Both directions added."""
        total = image.new_zeros(())
        for _, anchors, candidates, candidate_ids in views(image, text, ids, memory):
            total = total + self.direction_loss(anchors @ candidates.T, ids[:, None] == candidate_ids[None, :])
        return total


def views(
    image: Tensor, text: Tensor, ids: Tensor, memory: Memory | None
) -> Iterator[tuple[Direction, Tensor, Tensor, Tensor]]:
    """Both directions: ``direction, anchors [B, D], candidates [N, D], candidate_ids [N]``.

    The first B candidates are the anchors' own partners.
    """
    if not len(image) == len(text) == len(ids):
        raise ValueError(f"image, text and ids differ in length: {len(image)}, {len(text)}, {len(ids)}")
    pool = memory if memory is not None else Memory(image, text, ids)
    yield "i2t", image, pool.text, pool.ids
    yield "t2i", text, pool.image, pool.ids


def draw(weights: Tensor, generator: torch.Generator | None) -> Tensor:
    """One index per row of ``weights [B, N]``, with probability proportional to the weight: ``[B]``.

    First a block of columns by its sum, then a column of that block: ``B (N / 256 + 256)`` random numbers
    instead of ``B N``, which cost more than the similarities themselves. Either draw is an exponential race
    (the largest ``w / e`` with ``e ~ Exp(1)``), which needs no normalisation. A row of zeros gives any index.
    """
    rows, columns = weights.shape
    width = min(256, columns)
    blocks = nn.functional.pad(weights, (0, -columns % width)).view(rows, -1, width)
    block = _race(blocks.sum(dim=2), generator)
    within = _race(blocks[torch.arange(rows, device=weights.device), block], generator)
    return (block * width + within).clamp_max(columns - 1)


def _race(weights: Tensor, generator: torch.Generator | None) -> Tensor:
    clock = torch.empty_like(weights).exponential_(generator=generator)
    return (weights / clock.clamp_min(torch.finfo(weights.dtype).tiny)).argmax(dim=1)
