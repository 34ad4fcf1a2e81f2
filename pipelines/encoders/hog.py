"""Colours and edge directions of a picture, pooled over a grid; no weights, no download.

A small cousin of the histogram of oriented gradients: N. Dalal, B. Triggs (2005), Histograms of Oriented
Gradients for Human Detection, CVPR.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from negbench.pipelines.encoders import Encoder

SIDE = 48  # pixels; pictures are squeezed to a square
GRID = 6  # cells per side
CELL = SIDE // GRID
HUES = 12
DIRECTIONS = 8
CHUNK = 64

Array = NDArray[np.float32]


class Hog(Encoder):
    """Pictures to hues, colours and edges per cell, each block of unit length, and the mean colour."""

    name = "hog"
    revision = "2"
    dim = GRID * GRID * (HUES + 3 + DIRECTIONS) + 3
    kind: Literal["image"] = "image"

    def prepare(self, item: Image.Image) -> Array:
        """A picture of any size to ``[SIDE, SIDE, 3]``."""
        return _pixels(item)

    def forward(self, prepared: list[Array]) -> Array:
        out = np.zeros((len(prepared), self.dim), dtype=np.float32)
        for start in range(0, len(prepared), CHUNK):
            pixels = np.stack(prepared[start : start + CHUNK])
            blocks = [_hues(pixels), _colours(pixels), _edges(pixels)]
            out[start : start + CHUNK] = np.concatenate(blocks, axis=1)
        return out


def _pixels(picture: Image.Image) -> Array:
    """``[SIDE, SIDE, 3]`` in [0, 1]."""
    resized = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32) / np.float32(255)


def _hues(pixels: Array) -> Array:
    """Histogram of hues per cell, each pixel with the weight of its chroma."""
    red, green, blue = np.moveaxis(pixels, -1, 0)
    # Hue and chroma as a point in the plane where red, green and blue stand at 0, 120 and 240 degrees.
    x, y = red - (green + blue) / 2, (green - blue) * np.float32(np.sqrt(3) / 2)
    return _unit(np.sqrt(_histogram(np.arctan2(y, x), np.hypot(x, y), HUES)))


def _colours(pixels: Array) -> Array:
    """The whole picture's mean colour, and each cell's difference from it."""
    means = pixels.reshape(-1, GRID, CELL, SIDE, 3).mean(axis=2).reshape(-1, GRID, GRID, CELL, 3).mean(axis=3)
    whole = means.mean(axis=(1, 2), keepdims=True)
    return np.concatenate([whole.reshape(-1, 3), _unit(means - whole)], axis=1)


def _edges(pixels: Array) -> Array:
    """Histogram of gradient directions per cell; at each pixel the colour channel with the strongest gradient."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    downs = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    acrosses = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    squares = downs**2 + acrosses**2
    down, across, square = downs[..., 0], acrosses[..., 0], squares[..., 0]
    for channel in (1, 2):
        stronger = squares[..., channel] > square
        down = np.where(stronger, downs[..., channel], down)
        across = np.where(stronger, acrosses[..., channel], across)
        square = np.where(stronger, squares[..., channel], square)
    # Without sign: a bright edge on dark is the same edge as dark on bright.
    return _unit(np.sqrt(_histogram(2 * np.arctan2(down, across), np.sqrt(square), DIRECTIONS)))


def _histogram(angle: Array, weight: Array, bins: int) -> Array:
    """Angles (radians) in ``bins`` bins per cell, shared between the two nearest: ``[n, GRID * GRID * bins]``."""
    number = len(angle)
    position = angle * np.float32(bins / (2 * np.pi))
    lower = np.floor(position)
    share = position - lower
    first = _cell_numbers(number) * bins
    low = lower.astype(np.int64) % bins
    total = np.bincount((first + low).ravel(), (weight * (1 - share)).ravel(), number * GRID * GRID * bins)
    total += np.bincount((first + (low + 1) % bins).ravel(), (weight * share).ravel(), total.size)
    return (total / CELL**2).reshape(number, -1).astype(np.float32)


def _cell_numbers(pictures: int) -> NDArray[np.int64]:
    """Number of each pixel's cell, counted on over the pictures: ``[pictures, SIDE, SIDE]``."""
    line = np.arange(SIDE) // CELL
    return np.arange(pictures)[:, None, None] * GRID**2 + line[:, None] * GRID + line


def _unit(block: Array) -> Array:
    """Rows ``[n, -1]`` of length 1; next to nothing, such as what rounding leaves, stays next to nothing."""
    rows = block.reshape(len(block), -1)
    length = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.maximum(length, 1e-3), dtype=np.float32)
