"""What a screen of many trainings shows, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CellShown:
    """One that runs."""

    name: str
    since: str
    """The time of day at which it began."""
    reached: str = ""
    """``epoch  3/20  val rSum  252.9``; empty where its log says nothing yet, or cannot be seen from here."""
    left_s: float | None = None
    """Seconds, about; None where nothing tells."""


@dataclass(frozen=True)
class FailureShown:
    """One that failed."""

    name: str
    line: str
    """The last of its log."""
    log: str
    """Its path; empty where there is none."""


@dataclass(frozen=True)
class RowShown:
    """Cells that differ in the seed alone, or a trial."""

    name: str
    rsum: float
    """The mean over the seeds done."""
    said: str
    """What belongs to it: ``2 of 3 seeds``, or the settings of a trial."""
    difference: float | None = None
    """To the baseline, over the seeds that both have done; None of the baseline itself, and where they share none."""


@dataclass(frozen=True)
class WorkShown:
    """All of them."""

    what: str
    """``cells``, ``trials``."""
    total: int
    done: int
    failed: int
    left_s: float | None
    running: tuple[CellShown, ...] = ()
    failures: tuple[FailureShown, ...] = ()
    """The latest first."""
    heading: str = ""
    """Above the rows: what their numbers are."""
    rows: tuple[RowShown, ...] = ()
    """The best first."""
