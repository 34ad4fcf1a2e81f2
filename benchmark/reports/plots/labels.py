"""Names beside what they name, so that none covers another; a legend where that cannot be."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

Point = tuple[float, float]
Bar = tuple[Point, Point]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places in the order of ``wanted``, at least ``gap`` apart and in [low, high], as near to ``wanted`` as can be.

    Where they do not all fit they stand at equal distances. Neighbours that touch move as one, to their mean.
    """
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    clusters: list[tuple[float, int]] = []  # sum of the places their first members want, members
    for number, index in enumerate(order):
        total, count = min(max(wanted[index], low + gap * number), high - gap * (len(order) - 1 - number)), 1
        while clusters and clusters[-1][0] / clusters[-1][1] + gap * clusters[-1][1] > total / count:
            before, members = clusters.pop()
            total, count = before + total - count * gap * members, count + members
        clusters.append((total, count))
    places = [total / count + gap * k for total, count in clusters for k in range(count)]
    return [place for _, place in sorted(zip(order, places, strict=True))]


def at_the_end(axes: Axes, points: Sequence[Point], names: Sequence[str], colours: Sequence[str]) -> None:
    """A name right of the last point of each line, moved up or down where they would touch."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    settle(figure)
    _, low = axes.transAxes.transform((0, 0))
    _, high = axes.transAxes.transform((0, 1))
    right = axes.get_window_extent().x1
    pixel = figure.dpi / 72
    heights = [axes.transData.transform(point)[1] for point in points]
    for point, name, colour, height in zip(points, names, colours, spread(heights, 11 * pixel, low, high), strict=True):
        x, y = axes.transData.transform(point)
        axes.annotate(
            name,
            point,
            ((right - x) / pixel + 14, (height - y) / pixel),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "lw": 0.6,
                "alpha": 0.6,
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )


def beside(
    axes: Axes, points: Sequence[Point], names: Sequence[str], colours: Sequence[str], bars: Sequence[Bar] = ()
) -> list[Annotation]:
    """A name beside each point, at the first of many places where it touches no bar, name or other point.

    The most crowded points choose first. A name that stands far off has a line to its point, which crosses no name.

    Args:
        axes: with the points; its limits stay.
        points, names, colours: one of each per point.
        bars: lines of the picture, by their ends, in the units of the axes.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    settle(figure)
    pixel = figure.dpi / 72
    pixels = [(float(x), float(y)) for x, y in map(axes.transData.transform, points)]
    near = 4 * pixel
    taken = [Bbox.from_extents(x - near, y - near, x + near, y + near) for x, y in pixels]
    drawn = [Path(axes.transData.transform(bar)) for bar in bars]
    frame = axes.get_window_extent()
    crowd = [sum((x - u) ** 2 + (y - v) ** 2 < (60 * pixel) ** 2 for u, v in pixels) for x, y in pixels]
    written = []
    for index in sorted(range(len(points)), key=lambda k: (-crowd[k], names[k])):
        text = axes.annotate(
            names[index],
            points[index],
            (0.0, 0.0),
            textcoords="offset points",
            fontsize=8,
            color=colours[index],
            arrowprops={
                "arrowstyle": "-",
                "color": colours[index],
                "lw": 0.6,
                "alpha": 0.7,
                "shrinkA": 0,
                "shrinkB": 4,
            },
        )
        others = [box.padded(near) if k < len(points) else box for k, box in enumerate(taken) if k != index]
        found = []
        for number, (far, side) in enumerate(product(DISTANCES, DIRECTIONS)):
            box = _move(text, far, side)
            covered = sum(_overlap(box, other) for other in (*others, taken[index])) + 3 * _outside(box, frame)
            crossed = sum(_crosses(bar, box) for bar in drawn)
            if far > DISTANCES[0]:
                leader = _leader(box, pixels[index])
                crossed += sum(_crosses(leader, other) for other in others)
            found.append((covered + CROSSING * pixel**2 * crossed, number, far, side))
            if not found[-1][0]:
                break
        *_, far, side = min(found)
        taken.append(_move(text, far, side))
        if far > DISTANCES[0]:
            drawn.append(_leader(taken[-1], pixels[index]))
        elif text.arrow_patch:
            text.arrow_patch.set_visible(False)
        written.append(text)
    return written


def _leader(box: Bbox, point: Point) -> Path:
    """The line from a name to its point, in pixels."""
    return Path([((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2), point])


CROSSING = 25
"""A line through a name is as bad as covering so much of another, in square points."""
DISTANCES = (7, 14, 22, 32, 44, 58, 74, 92, 112)
"""Of a name from its point, in points of 1/72 inch."""
DIRECTIONS = ((1, 0), (1, 0.6), (1, -0.6), (-1, 0), (0, 1), (0, -1), (-1, 0.6), (-1, -0.6), (0.5, 1), (-0.5, 1))


COLUMNS = 4
"""Of a legend, at most."""
EDGE = 0.01
"""Of a figure's width, kept free at both sides of a legend."""


def legend_below(figure: Figure, entries: Mapping[str, Any]) -> None:
    """A legend below the axes, of as many columns as there is room for: names and what is drawn for them.

    A layout engine makes room for a legend's height, but cuts one that is too wide.
    """
    names, handles = list(entries), list(entries.values())
    for columns in range(min(COLUMNS, len(names)), 0, -1):
        legend = figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize=8)
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()
        if columns == 1 or legend.get_window_extent().width <= (1 - 2 * EDGE) * figure.bbox.width:
            return
        legend.remove()


def settle(figure: Figure) -> None:
    """Lay the figure out, so that places on it are known, and keep it so."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _move(text: Annotation, far: float, side: Point) -> Bbox:
    """Put a name there; the place it then takes."""
    dx, dy = side
    text.set(ha=_side(dx, "right", "left"), va="center" if dy == 0 or dx else _side(dy, "top", "bottom"))
    text.xyann = (far * dx, far * dy)
    figure = text.get_figure(root=True)
    assert figure is not None
    assert isinstance(figure.canvas, FigureCanvasAgg)
    text.update_positions(figure.canvas.get_renderer())  # type: ignore[no-untyped-call]  # else it is measured where it was
    return Text.get_window_extent(text)  # without its line


def _side(direction: float, before: str, after: str) -> str:
    return "center" if direction == 0 else after if direction > 0 else before


def _crosses(line: Path, box: Bbox) -> bool:
    """Whether a line of two ends meets a box. Most are far apart, which is told without asking the library."""
    (ax, ay), (bx, by) = np.asarray(line.vertices).tolist()
    (x0, y0), (x1, y1) = np.asarray(box.get_points()).tolist()
    if max(ax, bx) < x0 or min(ax, bx) > x1 or max(ay, by) < y0 or min(ay, by) > y1:
        return False
    return bool(line.intersects_bbox(box, filled=False))


def _overlap(a: Bbox, b: Bbox) -> float:
    (ax0, ay0), (ax1, ay1) = np.asarray(a.get_points()).tolist()
    (bx0, by0), (bx1, by1) = np.asarray(b.get_points()).tolist()
    width = min(ax1, bx1) - max(ax0, bx0)
    height = min(ay1, by1) - max(ay0, by0)
    return float(max(width, 0) * max(height, 0))


def _outside(box: Bbox, frame: Bbox) -> float:
    return float(box.width * box.height) - _overlap(box, frame)


def room_for(figure: Figure, names: Sequence[str]) -> None:
    """Keep a margin at the right for names."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    share = (0.062 * max(map(len, names)) + 0.25) / figure.get_figwidth()
    engine.set(rect=(0, 0, 1 - share, 1))
