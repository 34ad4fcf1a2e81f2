"""Small line charts, as numbers that a template writes as SVG, so that they follow the page's colours."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 34
MOST_LINES = 8
"""Looks that can be told apart."""
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """Lines over one x axis."""

    title: str
    x: str
    """What the x axis is."""
    x_ticks: list[tuple[float, str]]
    """Place and label."""
    y_ticks: list[tuple[float, str]]
    lines: list[tuple[str, str]]
    """Name, and the points as SVG has them."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = HEIGHT - BOTTOM


def chart(title: str, x: str, lines: Mapping[str, Points], zero: bool = False) -> Chart | None:
    """A chart of named lines; None where no line has two points.

    Args:
        title: what it shows.
        x: what the x axis is.
        lines: name: its points; those beyond ``MOST_LINES`` are left out.
        zero: the y axis begins at 0.
    """
    shown = {name: points for name, points in list(lines.items())[:MOST_LINES] if len(points) > 1}
    if not shown:
        return None
    xs, ys = ([point[axis] for points in shown.values() for point in points] for axis in (0, 1))
    left, right = min(xs), max(xs)
    low, high = (0.0 if zero else min(ys)), max(ys)
    if high <= low:
        low, high = low - 1, high + 1

    def at(point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - left) / ((right - left) or 1)
        up = (point[1] - low) / (high - low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    drawn = [(name, " ".join("{:.1f},{:.1f}".format(*at(point)) for point in points)) for name, points in shown.items()]
    x_ticks = [(round(at((value, low))[0], 1), f"{value:g}") for value in ticks(left, right)]
    y_ticks = [(round(at((left, value))[1], 1), f"{value:g}") for value in ticks(low, high)]
    return Chart(title, x, x_ticks, y_ticks, drawn)


def ticks(low: float, high: float) -> list[float]:
    """A handful of round numbers in [low, high]."""
    span = (high - low) or 1.0
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (factor * step) <= 6)
    first = math.ceil(low / step)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]
