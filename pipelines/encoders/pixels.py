"""The pixels of pictures, for towers that are trained from the picture on: ``pixels:160`` makes 160 x 160 of them.

The plain transform of evaluations, once and by PIL: the shorter side becomes SIZE pixels and the longer one what its
proportion gives, rounded down (bicubic, antialiased); then the centre of SIZE x SIZE is kept. Of a picture more than 16
times as long as wide only the middle is looked at, 16 times as long as wide. The pixels stay bytes, 0 to 255, whatever
dtype vectors have: to normalise them is a tower's business.
"""

import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from negbench.pipelines.encoders import Encoder, EncoderKind, Example, Model
from negbench.pipelines.errors import RequestError
from negbench.pipelines.sides import PixelsCard

EXTRA = None
PACKAGE = "PIL"
EXAMPLES = [Example("160", "image", 3 * 160 * 160, "")]
REVISION = "bicubic-centre-1"  # of the transform and of this file
SMALLEST, LARGEST = 8, 1024
LONGEST = 16

Pixels = NDArray[np.uint8]


def check(model: Model, kind: EncoderKind) -> None:
    """``RequestError`` for a size that is none, or for texts."""
    _size(model, kind)


def describe(model: Model, kind: EncoderKind) -> PixelsCard:
    size = _size(model, kind)
    return PixelsCard(revision=REVISION, dim=3 * size * size, size=size, load=lambda device: PictureResizer(size))


def revision(model: Model, kind: EncoderKind) -> str:
    _size(model, kind)
    return REVISION


class PictureResizer(Encoder):
    """Pictures to ``[n, 3, size, size]``, uint8."""

    revision = REVISION
    kind: Literal["image"] = "image"

    def __init__(self, size: int) -> None:
        self.name, self.size, self.dim = f"pixels:{size}", size, 3 * size * size

    def prepare(self, item: Image.Image) -> Pixels:
        """``[3, size, size]``."""
        item = _middle(item)
        short = min(item.size)
        width, height = (self.size * side // short for side in item.size)
        left, top = (round((side - self.size) / 2) for side in (width, height))
        resized = item.resize((width, height), Image.Resampling.BICUBIC)
        centre = resized.crop((left, top, left + self.size, top + self.size))
        return np.ascontiguousarray(np.asarray(centre).transpose(2, 0, 1))

    def forward(self, prepared: list[Pixels]) -> NDArray[Any]:
        return np.stack(prepared) if prepared else np.empty((0, 3, self.size, self.size), dtype=np.uint8)


def _middle(picture: Image.Image) -> Image.Image:
    """What is looked at: enlarged as a whole, a line of pixels would fill the memory."""
    most = LONGEST * min(picture.size)
    width, height = (min(side, most) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height)) if (left, top) != (0, 0) else picture


def _size(model: Model, kind: EncoderKind) -> int:
    """SIZE of ``pixels:SIZE``, which has one spelling."""
    name = f"pixels:{model.name}"
    if kind != "image":
        raise RequestError(f"encoder '{name}' encodes images, not texts")
    good = re.fullmatch("[1-9][0-9]{0,3}", model.name) and SMALLEST <= int(model.name) <= LARGEST
    if not good or model.revision or model.pooling:
        raise RequestError(f"encoder '{name}': write pixels:SIZE, SIZE a number from {SMALLEST} to {LARGEST}")
    return int(model.name)
