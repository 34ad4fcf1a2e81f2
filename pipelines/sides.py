"""The sides of a store: what encodes each, and which arrays come of it."""

from dataclasses import dataclass
from typing import Any

from negbench.pipelines import encoders
from negbench.pipelines.encoders import CPU, Card, Device, EncoderKind, Model

KINDS: tuple[EncoderKind, EncoderKind] = ("image", "text")
GIVEN = f"{encoders.PRECOMPUTED}+{encoders.PRECOMPUTED}"
"""Features of both sides came with the dataset."""


@dataclass(frozen=True, kw_only=True)
class PixelsCard(Card):
    """Of an encoder that leaves pictures pixels."""

    size: int
    """Height and width."""


@dataclass(frozen=True)
class Side:
    """One side of a store."""

    name: str
    revision: str
    dim: int
    """Numbers of a vector, or of a picture's pixels; 0 where nothing is stored, as of captions that stay text."""
    length: int = 0
    """Steps of a sequence; 0 where an item is one vector."""
    device: Device = CPU
    size: int = 0
    """Height and width of pixels; 0 where there are none."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an item."""
        if self.size:
            return (3, self.size, self.size)
        return (self.length, self.dim) if self.length else (self.dim,)

    @property
    def has_vectors(self) -> bool:
        """Whether what is stored are numbers of a dtype that one may choose."""
        return self.dim > 0 and not self.size

    @property
    def recipe(self) -> dict[str, Any]:
        """What ``features.json`` says of it."""
        about: dict[str, Any] = {"name": self.name, "revision": self.revision, "dim": self.dim}
        if self.size:
            return about | {"shape": list(self.shape), "dtype": "uint8"}
        return about | ({"length": self.length} if self.length else {})


def pair(encoder: str, precomputed: bool) -> tuple[str, str]:
    """``encoders.pair``, and features of captions that came with those of images; ``RequestError``, too, for a model's
    name that its family refuses at sight.

    Such a family's module has ``check(model, kind)``.
    """
    if precomputed and encoder == GIVEN:
        return encoders.PRECOMPUTED, encoders.PRECOMPUTED
    sides = encoders.pair(encoder, precomputed)
    for name, kind in zip(sides, KINDS, strict=True):
        family, colon, model = name.partition(":")
        if colon and hasattr(encoders.module(family), "check"):
            encoders.module(family).check(Model.parse(model), kind)
    return sides
