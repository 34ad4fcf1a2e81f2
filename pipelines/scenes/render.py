"""The picture of a scene: flat shapes with a soft edge, a little light and a shadow, 64 x 64 pixels."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.scenes.world import GRID, Scene

SIDE = 64
RGB = {
    "red": (222, 38, 42),
    "blue": (36, 84, 220),
    "green": (26, 150, 62),
    "yellow": (250, 214, 30),
    "purple": (128, 44, 178),
    "orange": (250, 134, 18),
    "pink": (250, 120, 178),
    "brown": (124, 74, 36),
    "grey": (126, 128, 132),
    "turquoise": (30, 198, 190),
}
RADIUS = {"small": 5.0, "medium": 7.5, "large": 10.0}
# Colour at the top and at the bottom of the picture.
BACKGROUND = {
    "grass": ((216, 236, 196), (176, 212, 150)),
    "sky": ((168, 206, 244), (222, 238, 252)),
    "sand": ((250, 238, 206), (232, 210, 160)),
    "night": ((14, 16, 40), (44, 46, 88)),
    "snow": ((250, 251, 254), (226, 232, 242)),
}
_PATCH = 25  # side of the square that any shape fits in, odd: its middle pixel is the shape's middle
_FINE = 6  # samples per pixel and axis, for soft edges
_ANGLES = (-14, -7, 0, 7, 14)  # degrees
_JITTER = 1  # pixels a thing may stand off its cell's middle
_TINT = 12  # largest change of a colour's channel
_SHADOW = 0.28
# From 0 at the picture's top to 1 at its bottom, over a canvas with a margin that takes what a patch holds beyond.
_DOWN = np.clip(np.arange(-_PATCH, SIDE + _PATCH, dtype=np.float32) / (SIDE - 1), 0, 1)[:, None, None]
_LIGHT = np.linspace(1.1, 0.9, _PATCH, dtype=np.float32)[:, None, None]

Picture = NDArray[np.uint8]
Plane = NDArray[np.float32]


def render(scene: Scene, lot: np.random.Generator) -> Picture:
    """Picture ``[SIDE, SIDE, 3]``; ``lot`` shifts, turns and tints things without changing what is true."""
    top, bottom = (np.array(colour, dtype=np.float32) for colour in BACKGROUND[scene.background])
    tint = lot.uniform(-_TINT / 2, _TINT / 2, size=3).astype(np.float32)
    canvas = np.empty((_DOWN.size, _DOWN.size, 3), dtype=np.float32)
    canvas[:] = top + (bottom - top) * _DOWN + tint
    for thing in scene.things:
        mask = shape_mask(thing.kind, thing.size, int(lot.integers(len(_ANGLES))))[:, :, None]
        y, x = (
            _PATCH + round((cell + 0.5) * SIDE / GRID) - _PATCH // 2 + int(lot.integers(-_JITTER, _JITTER + 1))
            for cell in (thing.row, thing.column)
        )
        colour = np.array(RGB[thing.colour], dtype=np.float32) + lot.uniform(-_TINT, _TINT, size=3).astype(np.float32)
        shadow = canvas[y + 1 : y + 1 + _PATCH, x + 1 : x + 1 + _PATCH]
        shadow *= 1 - _SHADOW * mask
        patch = canvas[y : y + _PATCH, x : x + _PATCH]
        patch += mask * (colour * _LIGHT - patch)
    inner = canvas[_PATCH:-_PATCH, _PATCH:-_PATCH]
    return np.clip(np.rint(inner), 0, 255).astype(np.uint8)


@cache
def shape_mask(kind: str, size: str, angle: int) -> Plane:
    """Share of each pixel that the shape covers, ``[_PATCH, _PATCH]`` in [0, 1]."""
    samples = (np.arange(_PATCH * _FINE) + 0.5) / _FINE - _PATCH / 2
    across, down = np.meshgrid(samples / RADIUS[size], samples / RADIUS[size])
    turn = np.deg2rad(_ANGLES[angle])
    x, y = across * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - across * np.sin(turn)
    inside = _inside(kind, x, -y).reshape(_PATCH, _FINE, _PATCH, _FINE)
    return np.asarray(inside.mean(axis=(1, 3)), dtype=np.float32)


def _inside(kind: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points belong to the shape of radius 1; ``y`` points up."""
    radius, angle = np.hypot(x, y), np.arctan2(x, y)  # the angle 0 points up
    match kind:
        case "circle":
            inside = radius < 0.95
        case "square":
            inside = np.maximum(abs(x), abs(y)) < 0.82
        case "triangle":
            inside = (y > -0.75) & (abs(x) * 1.75 + y < 1)
        case "star":
            spike = abs((angle / (2 * np.pi) * 5 + 0.5) % 1 - 0.5) * 2 * np.pi / 5  # from the nearest spike's axis
            inside = radius * (np.cos(spike) + 2.4 * np.sin(spike)) < 1.1
        case "heart":
            u, v = x * 1.2, y * 1.15 + 0.15
            inside = (u**2 + v**2 - 0.85) ** 3 < u**2 * v**3 * 1.6
        case "ring":
            inside = (radius < 1) & (radius > 0.55)
        case "cross":
            inside = (np.maximum(abs(x), abs(y)) < 0.95) & (np.minimum(abs(x), abs(y)) < 0.3)
        case "diamond":
            inside = abs(x) * 1.6 + abs(y) < 1.08
        case "moon":
            inside = (radius < 1) & (np.hypot(x - 0.5, y - 0.15) > 0.8)
        case "flower":
            inside = (radius < 0.68 + 0.34 * np.cos(5 * angle)) & (radius > 0.2)
        case "drop":
            inside = (np.hypot(x, y + 0.3) < 0.68) | ((y > -0.05) & (abs(x) * 1.62 + y < 1.1))
        case _:
            raise ValueError(f"no shape for '{kind}'")
    return np.asarray(inside)
