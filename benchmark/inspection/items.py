"""What an inspection shows."""

from dataclasses import asdict, dataclass, field
from typing import Any

from negbench.methods.base import Direction, Method


@dataclass(frozen=True)
class Item:
    """A candidate, as the anchor sees it."""

    id: str
    image_id: str
    text: str
    """The caption, or the first one of the image."""
    place: int
    """1 is the most similar of all candidates; equal ones by their order in the split."""
    similarity: float
    mark: str
    """``labelled``; ``true``, ``not true`` where the truth is known; ``judged true``, ``judged not``; empty."""
    suspicion: float | None
    """How much a method takes it for a false negative; None where it has no idea of that."""
    share: float | None = None
    """Of a method's choices, or of its push."""


@dataclass(frozen=True)
class Picks:
    """The negatives that one method pushes the anchor from most."""

    method: str
    state: str
    """Where its statistics come from."""
    items: list[Item]
    reason: str = ""
    """Why there are none."""


@dataclass(frozen=True)
class Look:
    """One anchor in one direction."""

    direction: Direction
    anchor: str
    image_id: str
    text: str
    """The caption of the pair: the anchor itself, or its positive."""
    rank: float
    """Of the labelled positive that is most similar; equal candidates count half."""
    candidates: int
    top: list[Item]
    picks: list[Picks]
    positives: list[Item] = field(default_factory=list)
    """All labelled ones, the most similar first; then likewise those that are true, or judged so, without a label."""


@dataclass(frozen=True)
class Inspection:
    """All that is shown."""

    folder: str
    method: str
    dataset: str
    seed: int
    protocol: str
    known: str
    """What is known of pairs beyond the labels: ``truth``, ``judgements`` or nothing."""
    looks: list[Look]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and words, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Ready:
    """A method and where its state comes from."""

    name: str
    method: Method
    state: str
