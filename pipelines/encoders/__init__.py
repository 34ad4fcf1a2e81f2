"""Encoders: pictures or captions to vectors. A file of this folder is an encoder or a family; there is no other list.

An encoder's module holds one class, an ``Encoder`` made without arguments; heavy packages are imported when one is
made. A family's module holds ``describe(model, kind)`` and ``revision(model, kind)`` instead; its encoders are named
``<family>:<model>[@<revision>][:<pooling>]``. A dataset's encoder is a pair, ``<image encoder>+<text encoder>``.
``precomputed`` as image side stands for the rows of the source's own feature files.

Names are also names of folders, so ``/`` is written ``--`` wherever a name is kept; either is understood.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.errors import RequestError, unknown
from negbench.pipelines.names import check_encoder

if TYPE_CHECKING:
    from torch import Tensor

PRECOMPUTED = "precomputed"
ALIASES = {"builtin": "hog+ngrams", "offline": "efficientnet-lite0+minilm"}
POOLINGS = ("cls", "mean", "pooler", "projected")
EncoderKind = Literal["image", "text"]


class Encoder(ABC):
    """What every encoder has."""

    name: str
    revision: str
    """Changes whenever the vectors do: weights, preprocessing or code."""
    dim: int
    length: int = 0
    """Steps of a sequence, padded with zeros; 0 where an item is one vector."""
    kind: EncoderKind
    licence: str = ""
    """Of the weights, where there are any."""
    extra: str | None = None
    """The extra of negbench that brings its packages, where it needs any."""
    packages: tuple[str, ...] = ()
    """Packages that extra brings."""

    def prepare(self, item: Any) -> Any:
        """The part of the work on one RGB picture (PIL) or text that worker threads can do ahead."""
        return item

    @abstractmethod
    def forward(self, prepared: list[Any]) -> NDArray[np.float32]:
        """What ``prepare`` made to ``[n, dim]`` or ``[n, length, dim]``.

        An item's row does not depend on the others, but for rounding.
        """

    def encode(self, items: list[Any]) -> NDArray[np.float32]:
        """RGB pictures (PIL) or texts to ``[n, dim]``, or ``[n, length, dim]``."""
        return self.forward([self.prepare(item) for item in items])


@dataclass(frozen=True)
class Device:
    """Where an encoder with torch weights computes."""

    name: str = "cpu"
    """As torch names it."""
    precision: str = "float32"
    """As torch names it; poolings are in float32 in any case."""


CPU = Device()


@dataclass(frozen=True)
class Card:
    """What is known of an encoder before its weights are read."""

    revision: str
    dim: int
    load: Callable[[Device], Encoder]
    length: int = 0
    devices: bool = False
    """Whether it can compute elsewhere than on the CPU."""


@dataclass(frozen=True)
class Example:
    """A model that a family can use, for the listing."""

    model: str
    sides: str
    dim: int
    licence: str


@dataclass(frozen=True)
class Model:
    """What follows the colon in the name of a family's encoder: ``<model>[@<revision>][:<pooling>]``."""

    name: str
    """A name on a hub, or a folder: starts with ``.``, ``/`` or ``~``."""
    revision: str | None = None
    pooling: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Model":
        """``RequestError`` for an unknown pooling or an empty name."""
        rest, colon, pooling = text.replace("--", "/").rpartition(":")
        rest = rest if colon else pooling
        name, _, revision = rest.partition("@")
        if not name:
            raise RequestError(f"'{text}' names no model; write FAMILY:MODEL, for example hf:bert-base-uncased")
        if colon and pooling not in POOLINGS:
            raise RequestError(unknown("pooling", pooling, POOLINGS))
        return cls(name, revision or None, pooling if colon else None)

    @property
    def folder(self) -> Path | None:
        """The local folder, where it is one."""
        return Path(self.name).expanduser() if self.name.startswith((".", "/", "~")) else None


@dataclass(frozen=True)
class EncoderEntry:
    """An encoder as the listing shows it."""

    name: str
    sides: str
    dim: int
    licence: str
    """Of the weights; empty where there are none."""
    installed: bool
    needs: str | None
    """The extra of negbench that brings its packages."""


def entries() -> list[EncoderEntry]:
    """All encoders, and a few models of each family; nothing is loaded, no network asked."""
    found = []
    for name in names():
        where = module(name)
        if is_family(name):
            ready = find_spec(where.PACKAGE) is not None
            for each in where.EXAMPLES:
                found.append(
                    EncoderEntry(f"{name}:{each.model}", each.sides, each.dim, each.licence, ready, where.EXTRA)
                )
        else:
            one = get(name)
            ready = all(find_spec(package) for package in one.packages)
            found.append(EncoderEntry(name, one.kind, one.dim, one.licence, ready, one.extra))
    return found


def names() -> list[str]:
    """Names of all encoders and families."""
    return sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")


def file_of(name: str) -> Path:
    """The file of an encoder, or of its family."""
    return Path(__file__).parent / f"{name.partition(':')[0].replace('-', '_')}.py"


def module(name: str) -> ModuleType:
    """The module of an encoder or a family."""
    if name.replace("_", "-") not in names():
        raise RequestError(unknown("encoder", name, names()))
    return import_module(f"{__name__}.{name.replace('-', '_')}")


def is_family(name: str) -> bool:
    """Whether ``hf`` and the like, not an encoder by itself."""
    return hasattr(module(name), "describe")


def get(name: str) -> type[Encoder]:
    """The class of an encoder that is no family's."""
    where = module(name)
    if is_family(name):
        raise RequestError(f"encoder '{name}' is a family: name a model, as in {name}:{where.EXAMPLES[0].model}")
    (found,) = [
        value
        for value in vars(where).values()
        if isinstance(value, type) and value.__module__ == where.__name__ and issubclass(value, Encoder)
    ]
    return found


def card(name: str, kind: EncoderKind) -> Card:
    """Revision and size of an encoder; reads a family's model as far as needed, from the network if it must."""
    family, colon, model = name.partition(":")
    if not colon:
        found = get(name)
        return Card(found.revision, found.dim, lambda device: found(), found.length)
    with _packages(name, module(family).EXTRA):
        return cast("Card", module(family).describe(Model.parse(model), kind))


def revision(name: str, kind: EncoderKind) -> str | None:
    """What can be told of an encoder's revision here and now: None where its model is not on this machine."""
    family, colon, model = name.partition(":")
    if not colon:
        return get(name).revision
    return cast("str | None", module(family).revision(Model.parse(model), kind))


def make(name: str, kind: EncoderKind, device: Device = CPU) -> Encoder:
    """An encoder, ready to use; one line where its packages are missing."""
    extra = module(name.partition(":")[0]).EXTRA if ":" in name else get(name).extra
    described = card(name, kind)
    with _packages(name, extra):
        return described.load(device)


def in_chunks(
    prepared: list[Any], step: int, dim: int, vectors: "Callable[[list[Any]], Tensor]"
) -> NDArray[np.float32]:
    """``[n, dim]`` of ``vectors``, ``step`` items at a time, without gradient."""
    import torch

    out = np.empty((len(prepared), dim), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(prepared), step):
            out[start : start + step] = vectors(prepared[start : start + step]).float().cpu().numpy()
    return out


@contextmanager
def _packages(name: str, extra: str | None) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise RequestError(
            f"encoder '{name}' needs the package '{error.name}'; run: pip install 'negbench[{extra}]'"
        ) from None


def spelled(encoder: str) -> str:
    """An encoder's name as it is kept: fit for the name of a folder, aliases left as they are."""
    check_encoder(encoder)
    return "+".join(_side(side) for side in encoder.split("+"))


def _side(name: str) -> str:
    family, colon, model = name.partition(":")
    return family.replace("_", "-") + colon + model.rstrip("/").replace("/", "--")


def pair(encoder: str, precomputed: bool) -> tuple[str, str]:
    """Image and text side of a dataset's encoder, aliases resolved, as they are kept.

    ``precomputed`` says whether the dataset has features instead of pictures: it decides what an alias means
    and which image sides are possible.
    """
    image, plus, text = spelled(ALIASES.get(encoder, encoder)).partition("+")
    if not plus:
        example = ", ".join([*ALIASES, "hog+ngrams"])
        raise RequestError(f"encoder '{encoder}' is not <image encoder>+<text encoder>; for example: {example}")
    if precomputed and encoder in ALIASES:
        image = PRECOMPUTED
    if precomputed != (image == PRECOMPUTED):
        what = f"has features, no pictures: use {PRECOMPUTED}+{text}" if precomputed else "has no precomputed features"
        raise RequestError(f"encoder '{encoder}' does not fit: the dataset {what}")
    sides: list[tuple[str, EncoderKind]] = [(text, "text")]
    if not precomputed:
        sides.append((image, "image"))
    for side, kind in sides:
        family, colon, model = side.partition(":")
        if colon:
            if not is_family(family):
                raise RequestError(f"encoder '{side}': {family} takes no model")
            Model.parse(model)
        elif get(side).kind != kind:
            raise RequestError(f"encoder '{encoder}': {side} encodes {get(side).kind}s, not {kind}s")
    return image, text
