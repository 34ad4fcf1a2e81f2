"""Text in a picture: how large it is, and where its lines are broken."""

import re

from matplotlib import rcParams
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from negbench.benchmark.reports.plots.page import USUAL

SMALLEST = 6.0
"""Points: no text is smaller."""
SLACK = 1.06
"""In a PNG letters stand on whole pixels, so that a line may be so much wider than in print."""


def points(size: float) -> float:
    """What a size for text of the usual size is in the picture that is being drawn."""
    return max(size * float(rcParams["font.size"]) / USUAL, SMALLEST)


def width_of(text: str, size: float) -> float:
    """Inches that one line of text needs at most; ``size`` in points."""
    width = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0]
    return SLACK * float(width) / 72


def fold(text: str, inches: float, size: float) -> list[str]:
    """Lines that are at most so wide: broken between words and settings, within a word where it alone is too wide."""
    lines = [""]
    for part in re.split(r"(?<=[ \[])|(?<=[a-z]-)|(?<=,)(?=[^\d ])", text):
        whole = width_of(part.rstrip(), size) <= inches
        for piece in [part] if whole else part:
            if lines[-1] and width_of((lines[-1] + piece).rstrip(), size) > inches:
                lines.append("")
            lines[-1] += piece
    return [line.rstrip() for line in lines]


def folded(text: str, inches: float, size: float) -> str:
    """The same as one text."""
    return "\n".join(fold(text, inches, size))
