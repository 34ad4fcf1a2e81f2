"""Names beside what they name, so that none covers another; a legend where that cannot be."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from negbench.benchmark.reports.plots.lettering import fold, points, width_of

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


def at_the_end(axes: Axes, ends: Sequence[Point], names: Sequence[str], colours: Sequence[str]) -> None:
    """A name right of the last point of each line, moved up or down where they would touch."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    settle(figure)
    _, low = axes.transAxes.transform((0, 0))
    _, high = axes.transAxes.transform((0, 1))
    right = axes.get_window_extent().x1
    pixel, size = figure.dpi / 72, points(NAME)
    half = 0.6 * size * pixel
    heights = [axes.transData.transform(end)[1] for end in ends]
    places = spread(heights, 1.4 * size * pixel, low + half, high - half)
    for point, name, colour, height in zip(ends, names, colours, places, strict=True):
        x, y = axes.transData.transform(point)
        axes.annotate(
            name,
            point,
            ((right - x) / pixel + 14, (height - y) / pixel),
            textcoords="offset points",
            va="center",
            fontsize=size,
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
    axes: Axes, spots: Sequence[Point], names: Sequence[str], colours: Sequence[str], bars: Sequence[Bar] = ()
) -> list[Annotation]:
    """A name beside each point, at the first of many places where it touches no bar, name or other point.

    The most crowded points choose first. A name that stands far off has a line to its point, which crosses no name.
    No name at all where one would cover a point or another name, or leave the axes.

    Args:
        axes: with the points; its limits stay.
        spots, names, colours: one of each per point.
        bars: lines of the picture, by their ends, in the units of the axes.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    settle(figure)
    pixel = figure.dpi / 72
    pixels = [(float(x), float(y)) for x, y in map(axes.transData.transform, spots)]
    near = 4 * pixel
    taken = [Bbox.from_extents(x - near, y - near, x + near, y + near) for x, y in pixels]
    drawn = [Path(axes.transData.transform(bar)) for bar in bars]
    frame = axes.get_window_extent()
    crowd = [sum((x - u) ** 2 + (y - v) ** 2 < (60 * pixel) ** 2 for u, v in pixels) for x, y in pixels]
    written: list[Annotation] = []
    for index in sorted(range(len(spots)), key=lambda k: (-crowd[k], names[k])):
        text = _beside(axes, spots[index], names[index], colours[index])
        size = _move(text, DISTANCES[0], DIRECTIONS[0])
        others = [box.padded(near) if k < len(spots) else box for k, box in enumerate(taken) if k != index]
        found = []
        for number, (far, side) in enumerate(product(DISTANCES, DIRECTIONS)):
            box = _placed(size, pixels[index], far * pixel, side)
            covered = sum(_overlap(box, other) for other in (*others, taken[index])) + 3 * _outside(box, frame)
            crossed = sum(_crosses(bar, box) for bar in drawn)
            if far > DISTANCES[0]:
                leader = _leader(box, pixels[index])
                crossed += sum(_crosses(leader, other) for other in others)
            found.append((covered > 1, crossed, number, far, side))  # a pixel may be the rounding's
            if not any(found[-1][:2]):
                break
        covers, *_, far, side = min(found)
        if covers:
            for each in (*written, text):
                each.remove()
            return []
        taken.append(_move(text, far, side))
        if far > DISTANCES[0]:
            drawn.append(_leader(taken[-1], pixels[index]))
        elif text.arrow_patch:
            text.arrow_patch.set_visible(False)
        written.append(text)
    return written


def _beside(axes: Axes, spot: Point, name: str, colour: str) -> Annotation:
    """A name with a line to its point; its place is set later."""
    line = {"arrowstyle": "-", "color": colour, "lw": 0.6, "alpha": 0.7, "shrinkA": 0, "shrinkB": 4}
    size = points(NAME)
    return axes.annotate(
        name, spot, (0.0, 0.0), textcoords="offset points", fontsize=size, color=colour, arrowprops=line
    )


def _leader(box: Bbox, point: Point) -> Path:
    """The line from a name to its point, in pixels."""
    return Path([((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2), point])


NAME = 8
"""Points of a name, in text of the usual size."""
DISTANCES = (7, 14, 22, 32, 44, 58, 74, 92, 112)
"""Of a name from its point, in points of 1/72 inch."""
DIRECTIONS = ((1, 0), (1, 0.6), (1, -0.6), (-1, 0), (0, 1), (0, -1), (-1, 0.6), (-1, -0.6), (0.5, 1), (-0.5, 1))


HANDLE, GAP = 3.0, 1.5
"""Of a legend: what is drawn before a name, and what is left free between two columns, in letters' heights."""
EDGE = 0.01
"""Of a figure's width, kept free at both sides of a legend."""


def legend_below(figure: Figure, handles: Sequence[Artist], names: Sequence[str]) -> None:
    """A legend below the axes, of as many columns as there is room for: what is drawn, and names for it.

    The figure grows by it. A name too long for one line is broken.
    """
    size = points(NAME)
    handle, gap = HANDLE * size / 72, GAP * size / 72
    room = (1 - 2 * EDGE) * figure.get_figwidth() - gap
    folded = [fold(name, room - handle, size) for name in names]
    widest = max(width_of(line, size) for lines in folded for line in lines)
    rows = -(-len(names) // max(int((room + gap) // (handle + widest + gap)), 1))
    legend = figure.legend(
        handles,
        ["\n".join(lines) for lines in folded],
        loc="outside lower center",
        ncols=-(-len(names) // rows),
        fontsize=size,
        handlelength=HANDLE - 0.8,
        handletextpad=0.8,
        columnspacing=GAP,
        labelspacing=0.3,
    )
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.set_figheight(figure.get_figheight() + legend.get_window_extent(renderer).height / figure.dpi)


def settle(figure: Figure) -> None:
    """Lay the figure out, so that places on it are known, and keep it so."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _placed(size: Bbox, point: Point, far: float, side: Point) -> Bbox:
    """The place that a name of this size takes at a distance from its point, in pixels, as ``_move`` puts it there."""
    dx, dy = side
    x = point[0] + far * dx - {"right": size.width, "center": size.width / 2, "left": 0.0}[_across(dx)]
    y = point[1] + far * dy - {"top": size.height, "center": size.height / 2, "bottom": 0.0}[_along(dx, dy)]
    return Bbox.from_bounds(x, y, size.width, size.height)


def _move(text: Annotation, far: float, side: Point) -> Bbox:
    """Put a name there; the place it then takes."""
    dx, dy = side
    text.set(ha=_across(dx), va=_along(dx, dy))
    text.xyann = (far * dx, far * dy)
    figure = text.get_figure(root=True)
    assert figure is not None
    assert isinstance(figure.canvas, FigureCanvasAgg)
    text.update_positions(figure.canvas.get_renderer())  # type: ignore[no-untyped-call]  # else it is measured where it was
    return Text.get_window_extent(text)  # without its line


def _across(dx: float) -> str:
    return "center" if dx == 0 else "left" if dx > 0 else "right"


def _along(dx: float, dy: float) -> str:
    return "center" if dy == 0 or dx else "bottom" if dy > 0 else "top"


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


def room_for(figure: Figure, names: Sequence[str]) -> bool:
    """Make room for names at the right, and as high as they are; False where that would be out of all proportion."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    size, wide = points(NAME), figure.get_figwidth()
    share = (max(width_of(name, size) for name in names) + 0.3) / wide
    high = 1.7 * size / 72 * len(names) + 0.4
    if share > WIDEST or high > HIGHEST * wide:
        return False
    engine.set(rect=(0, 0, 1 - share, 1))
    figure.set_figheight(max(figure.get_figheight(), high))
    return True


WIDEST, HIGHEST = 0.4, 1.3
"""Of a figure's width: what names at its right may take, and how high they may make it."""
