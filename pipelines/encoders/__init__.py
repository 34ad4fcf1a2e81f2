"""Encoders: pictures or captions to vectors. A file of this folder is an encoder; there is no other list.

An encoder's module holds one class with ``name``, ``revision``, ``dim``, ``kind`` and ``encode``; heavy packages
are imported when one is made. A dataset's encoder is a pair, ``<image encoder>+<text encoder>``. ``precomputed``
as image side stands for the rows of the source's own feature files.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import RequestError, unknown

PRECOMPUTED = "precomputed"
ALIASES = {"builtin": "hog+ngrams", "offline": "efficientnet-lite0+minilm"}
Kind = Literal["image", "text"]


class Encoder(Protocol):
    """What every encoder has; made without arguments."""

    name: str
    revision: str
    """Changes whenever the vectors do: weights, preprocessing or code."""
    dim: int
    kind: Kind

    def encode(self, items: list[Any]) -> NDArray[np.float32]:
        """RGB pictures (PIL) or texts to ``[n, dim]``; an item's row does not depend on the others.

        An encoder with an attribute ``length`` gives sequences ``[n, length, dim]``, padded with zeros.
        """
        ...


def names() -> list[str]:
    """Names of all encoders."""
    return sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")


def get(name: str) -> type[Encoder]:
    """The encoder's class."""
    if name.replace("_", "-") not in names():
        raise RequestError(unknown("encoder", name, names()))
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    (found,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "encode")
    ]
    return cast("type[Encoder]", found)


def make(name: str) -> Encoder:
    """An encoder, ready to use; one line where its packages are missing."""
    try:
        return get(name)()
    except ModuleNotFoundError as error:
        raise RequestError(
            f"encoder '{name}' needs the package '{error.name}'; run: pip install 'negbench[offline]'"
        ) from None


def pair(encoder: str, precomputed: bool) -> tuple[str, str]:
    """Image and text side of a dataset's encoder, aliases resolved.

    ``precomputed`` says whether the dataset has features instead of pictures: it decides what an alias means
    and which image sides are possible.
    """
    image, plus, text = ALIASES.get(encoder, encoder).replace("_", "-").partition("+")
    if not plus:
        example = ", ".join([*ALIASES, "hog+ngrams"])
        raise RequestError(f"encoder '{encoder}' is not <image encoder>+<text encoder>; for example: {example}")
    if precomputed and encoder in ALIASES:
        image = PRECOMPUTED
    if precomputed != (image == PRECOMPUTED):
        what = f"has features, no pictures: use {PRECOMPUTED}+{text}" if precomputed else "has no precomputed features"
        raise RequestError(f"encoder '{encoder}' does not fit: the dataset {what}")
    sides: list[tuple[str, Kind]] = [(text, "text")]
    if not precomputed:
        sides.append((image, "image"))
    for side, kind in sides:
        if get(side).kind != kind:
            raise RequestError(f"encoder '{encoder}': {side} encodes {get(side).kind}s, not {kind}s")
    return image, text
