"""Trials that are trained elsewhere: what is asked for, what comes back, and who is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class TrialRequest:
    """A training of a study."""

    name: str
    settings: dict[str, Any]
    seeds: tuple[int, ...]
    """It is trained once with each; the first decides whether it is worth its end."""
    before: list[dict[int, float]] | None = None
    """rSum by epoch of the complete trials that it is held against; None where it is trained to its end."""


@dataclass(frozen=True)
class TrialResult:
    """How it ended."""

    state: Literal["complete", "pruned", "failed"]
    rsum: float | None = None
    """The mean over the seeds."""
    reported: dict[int, float] = field(default_factory=dict)
    """rSum by epoch, of the epochs after the warm-up."""
    best_epoch: int | None = None
    collapsed: bool = False
    false_negatives: float | None = None
    error: str | None = None


class Helpers(Protocol):
    """Whoever trains several at a time."""

    @property
    def count(self) -> int:
        """Trials of a round: asked together, none of which knows how the others end."""

    def train(self, requests: Sequence[TrialRequest]) -> Iterator[tuple[TrialRequest, TrialResult]]:
        """Train all; yields each as it ends."""
