"""What a picture is for, the screen or a column of a paper: its width, the size of its text, its heading."""

from dataclasses import dataclass

from negbench.benchmark.errors import BenchError

NARROWEST, WIDEST = 2.0, 40.0
"""Inches."""
COLUMN = 5.0
"""A picture less wide than this is for a column of a paper, so its text is smaller."""
USUAL, SMALL = 9.0, 7.0
"""Points: of text in general, and of the same in a column."""


@dataclass(frozen=True)
class Page:
    """What is asked of a picture beside its records; ``BenchError`` for a width that cannot be."""

    width: float | None = None
    """Inches; None: as wide as its content needs."""
    headed: bool = True
    """Whether a heading says what the numbers are of."""

    def __post_init__(self) -> None:
        if self.width is not None and not NARROWEST <= self.width <= WIDEST:  # so that nan is none
            raise BenchError(f"--width {self.width:g}: give inches from {NARROWEST:g} to {WIDEST:g}")

    @property
    def font(self) -> float:
        """Points of text in general."""
        return USUAL if self.width is None or self.width >= COLUMN else SMALL

    @property
    def dpi(self) -> int:
        """Of a PNG: more where a width is asked for, as that is for print."""
        return 150 if self.width is None else 300


SCREEN = Page()
