"""What a method is given beside the batch, and what is wrong with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .once import once

WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)

Direction = Literal["i2t", "t2i"]
"""``i2t``: the anchor is an image, the candidates are texts; ``t2i`` the reverse."""

PRODUCT = 2**20
"""Numbers of a product that is read once: few enough to stay in a processor's cache."""
DEVICE_PRODUCT = 2**26
"""The same where there is no such cache."""


class Memory(NamedTuple):
    """Candidates from a momentum encoder: the batch's own pairs first, then the queued ones."""

    image: Tensor
    """``[M, D]``, L2-normalised, no gradient; the first B rows are the momentum images of the batch."""
    text: Tensor
    """``[M, D]``, the same for the texts."""
    ids: Tensor
    """``[M]`` image ids."""


@dataclass(frozen=True)
class Guide:
    """What a frozen model makes of the pairs: L2-normalised features in spaces of their own, no gradient.

    Rows are those of the candidates: the memory's, or else the batch's.
    """

    image: Tensor
    """``[N, G]``"""
    text: Tensor
    """``[N, H]``"""
    support: Tensor
    """``[B, K, H]``: the captions of each anchor's image, its own first; where there are fewer, some repeat."""

    @once
    def text_likeness(self) -> Tensor:
        """``[B, N]`` of each anchor's own caption and each candidate's: the same in both directions."""
        return self.support[:, 0] @ self.text.T

    @once
    def support_likeness(self) -> Tensor:
        """``[B, N]``: the largest of each candidate's caption and a caption of the anchor's image; likewise."""
        captions = self.support.flatten(0, 1)
        likeness = self.text.new_empty(len(self.support), len(self.text))
        step = max(1, (PRODUCT if can_be_looked_at(captions) else DEVICE_PRODUCT) // len(captions))
        for columns in (slice(start, start + step) for start in range(0, len(self.text), step)):
            product = captions @ self.text[columns].T
            torch.amax(product.view(*self.support.shape[:2], -1), dim=1, out=likeness[:, columns])
        return likeness


class Words(NamedTuple):
    """The captions as text, and the way from a text into the joint space."""

    captions: Sequence[Sequence[str]]
    """Of each anchor's image, its own first."""
    encode: Callable[[list[str]], Tensor]
    """Texts to ``[n, D]``, L2-normalised, with gradient into the text encoder. Called outside ``torch.autocast``."""


@dataclass(frozen=True)
class Extras:
    """What is seen besides the joint space. A method names what it cannot do without in ``needs``."""

    captions: Tensor | None = None
    """``[B]``: a number for each caption of the batch, the same whenever it comes."""
    guide: Guide | None = None
    words: Words | None = None
    known: Mapping[Direction, Tensor] | None = None
    """``[B, N]`` for each direction: pairs that are positives besides those of equal ids."""
    known_above: bool = False
    """Whether of the known pairs only those count that are more similar than the anchor and its own partner."""

    def part(self, rows: slice) -> "Extras":
        """What some of the anchors see."""
        captions = None if self.captions is None else self.captions[rows]
        guide = None if self.guide is None else replace(self.guide, support=self.guide.support[rows])
        return Extras(captions, guide)


NOTHING = Extras()


def can_be_looked_at(values: Tensor) -> bool:
    """Whether reading a value back costs nothing: elsewhere the step would wait for the device, or leave its graph."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def check_tensors(values: Mapping[str, Any]) -> None:
    """``ValueError`` naming the argument that is no tensor."""
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{name}: expected a tensor, got {type(value).__name__}; torch.as_tensor makes one")


def check_kinds(image: Any, text: Any, ids: Any, memory: Any, generator: Any, extras: Any) -> None:
    """``ValueError`` naming the argument of ``Method.loss`` that is of another kind: lists and arrays are not taken."""
    kinds = {"memory": (memory, Memory), "generator": (generator, torch.Generator), "extras": (extras, Extras)}
    for name, (value, kind) in kinds.items():
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"{name}: expected {kind.__name__}, got {type(value).__name__}")
    tensors = {"image": image, "text": text, "ids": ids}
    tensors |= {f"memory.{name}": value for name, value in memory._asdict().items()} if memory is not None else {}
    extras = extras or NOTHING
    tensors |= {} if extras.captions is None else {"extras.captions": extras.captions}
    for name in ("image", "text", "support") if extras.guide is not None else ():
        tensors[f"extras.guide.{name}"] = getattr(extras.guide, name)
    tensors |= {f"extras.known[{direction}]": mask for direction, mask in (extras.known or {}).items()}
    check_tensors(tensors)


def check(image: Tensor, text: Tensor, ids: Tensor, memory: Memory | None, generator: torch.Generator | None) -> None:
    """``ValueError`` naming the argument of ``Method.loss`` that does not fit: shape, type, device, finite values."""
    if image.dim() != 2 or not image.is_floating_point():
        raise ValueError(f"image: expected [B, D] floating-point numbers, got {list(image.shape)} {image.dtype}")
    if len(image) == 0:
        raise ValueError("image: the batch is empty")
    if not len(image) == len(text) == len(ids):
        raise ValueError(f"image, text and ids differ in length: {len(image)}, {len(text)}, {len(ids)}")
    if text.shape != image.shape or text.dtype != image.dtype:
        raise ValueError(f"text: {list(text.shape)} {text.dtype} is not the {list(image.shape)} {image.dtype} of image")
    numbers = {"ids": ids} if memory is None else {"ids": ids, "memory.ids": memory.ids}
    for name, values in numbers.items():
        if values.dim() != 1 or values.dtype not in WHOLE:
            raise ValueError(
                f"{name}: expected one dimension of whole numbers, got {list(values.shape)} {values.dtype}"
            )
    if memory is not None:
        if not len(memory.image) == len(memory.text) == len(memory.ids):
            rows = f"{len(memory.image)}, {len(memory.text)}, {len(memory.ids)}"
            raise ValueError(f"memory: image, text and ids differ in length: {rows}")
        if len(memory.ids) < len(image) or memory.image.shape[1:] != image.shape[1:]:
            raise ValueError(
                f"memory: {list(memory.image.shape)} does not begin with the {list(image.shape)} of the batch"
            )
        if memory.image.shape != memory.text.shape:
            raise ValueError(f"memory: image {list(memory.image.shape)} and text {list(memory.text.shape)} differ")
        if not (memory.image.is_floating_point() and memory.text.is_floating_point()):
            raise ValueError(f"memory: expected floating-point numbers, got {memory.image.dtype}, {memory.text.dtype}")
        own = memory.ids[: len(ids)]
        if can_be_looked_at(own) and can_be_looked_at(ids) and not torch.equal(own, ids.to(own.dtype)):
            raise ValueError("memory: its first rows must be the batch's own pairs; its first ids are others")
    places = {"text": text.device, "ids": ids.device} | ({"generator": generator.device} if generator else {})
    places |= {f"memory.{name}": value.device for name, value in memory._asdict().items()} if memory else {}
    for name, device in places.items():
        if device.type != image.device.type:
            raise ValueError(f"{name}: on {device}, but image is on {image.device}")
    for name, features in (("image", image), ("text", text)):
        if can_be_looked_at(features) and not (finite := features.detach().isfinite().all(dim=1)).all():
            raise ValueError(f"{name}: row {int(finite.int().argmin())} holds NaN or infinity")


def check_extras(extras: Extras, anchors: int, candidates: int) -> None:
    """``ValueError`` naming the part of ``Extras`` that does not fit B and N."""
    shapes: dict[str, tuple[Tensor, tuple[int, ...]]] = {}
    if extras.captions is not None:
        shapes["captions"] = extras.captions, (anchors,)
        if extras.captions.dtype not in WHOLE:
            raise ValueError(f"extras.captions: expected whole numbers, got {extras.captions.dtype}")
    if extras.guide is not None:
        image, text, support = extras.guide.image, extras.guide.text, extras.guide.support
        shapes["guide.image"] = image, (candidates, *image.shape[1:2])
        shapes["guide.text"] = text, (candidates, *text.shape[1:2])
        shapes["guide.support"] = support, (anchors, *support.shape[1:2], *text.shape[1:2])
    for direction in ("i2t", "t2i") if extras.known is not None else ():
        if direction not in (extras.known or {}):
            raise ValueError(f"extras.known: no mask for {direction}")
        shapes[f"known[{direction}]"] = (extras.known or {})[direction], (anchors, candidates)
    for name, (found, expected) in shapes.items():
        if found.shape != expected:
            raise ValueError(f"extras.{name}: expected {list(expected)}, got {list(found.shape)}")
        if name.startswith("known") and found.dtype != torch.bool:
            raise ValueError(f"extras.{name}: expected a mask of booleans, got {found.dtype}")
        if name == "guide.support" and can_be_looked_at(found) and not found.isfinite().all():
            raise ValueError(f"extras.{name}: holds NaN or infinity")
    if extras.words is not None:
        captions = extras.words.captions
        if len(captions) != anchors or any(isinstance(some, str) or not some for some in captions):
            raise ValueError(f"extras.words.captions: expected a list of texts for each of {anchors} anchors")
