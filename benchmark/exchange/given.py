"""What somebody gives of a model that was trained elsewhere: arrays, and ids that tell their order.

Everything is checked here; what passes is in the order of the test split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.evaluation.scores import StoredScores
from negbench.pipelines.files import read_text
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.rows import Indices
from negbench.pipelines.splits import SplitIndex, split_of
from negbench.pipelines.store import check_finite, load_array
from negbench.pipelines.text import short

Array = NDArray[Any]


@dataclass(frozen=True)
class GivenArray:
    """An array, and what it is called in a message."""

    name: str
    values: Array

    @classmethod
    def read(cls, path: Path | None) -> "GivenArray | None":
        """Of an ``.npy`` file, memory-mapped; ``DataError`` where it is none."""
        return None if path is None else cls(str(path), load_array(path))

    @classmethod
    def of(cls, name: str, values: Any) -> "GivenArray | None":
        """Of an array or a tensor, or of nothing."""
        if values is None:
            return None
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            values = values.float() if str(values.dtype) == "torch.bfloat16" else values.numpy()
        return cls(name, np.asarray(values))

    def check(self, shape: str) -> None:
        """``NoDataError`` where these are not rows of finite floats."""
        kind, found = self.values.dtype, list(self.values.shape)
        if kind.kind != "f" or kind.itemsize not in (2, 4, 8):
            raise NoDataError(f"{self.name}: holds {kind}; give float16, float32 or float64")
        if len(found) != 2 or 0 in found:
            raise NoDataError(f"{self.name}: has the shape {found}; give {shape}")
        check_finite(Path(self.name), self.values)

    def check_vectors(self, shape: str) -> None:
        """The same, and none of them nothing but zeros, which has no direction."""
        self.check(shape)
        empty = ~self.values.any(axis=1)
        if empty.any():
            raise NoDataError(f"{self.name}: row {int(empty.argmax())} is all zeros, which is similar to nothing")


@dataclass(frozen=True)
class GivenIds:
    """Ids in the order of an array, and what they are called in a message."""

    name: str
    ids: Sequence[str]

    @classmethod
    def of(cls, name: str, ids: Sequence[str] | None) -> "GivenIds | None":
        """Of some ids, or of nothing."""
        return None if ids is None else cls(name, [*map(str, ids)])

    @classmethod
    def read(cls, path: Path | None) -> "GivenIds | None":
        """Of a text file, an id a line; ``DataError`` where it cannot be read."""
        if path is None:
            return None
        return cls(str(path), [line.removesuffix("\r") for line in read_text(path).removesuffix("\n").split("\n")])

    def places(self, wanted: Sequence[str], splits: Mapping[str, str]) -> Indices:
        """Where each of ``wanted`` stands; ``NoDataError`` for an id that is there twice, missing, or none of the test.

        ``splits`` says of which split an id is.
        """
        rows: dict[str, int] = {}
        there = set(wanted)
        for row, name in enumerate(self.ids):
            where = f"{self.name}: line {row + 1}: '{short(name)}'"
            if name in rows:
                raise NoDataError(f"{where} stands in line {rows[name] + 1}, too")
            if name not in there:
                of = f"is of the {splits[name]} split" if name in splits else "is unknown"
                raise NoDataError(f"{where} {of}; name each id of the test split once")
            rows[name] = row
        missing = [name for name in wanted if name not in rows]
        if missing:
            first = f"'{short(missing[0])}' is the first"
            raise NoDataError(f"{self.name}: lacks {len(missing):,} of {len(wanted):,} ids of the test split; {first}")
        return np.array([rows[name] for name in wanted], dtype=np.int64)


@dataclass(frozen=True)
class Submission:
    """All that is given: both sides, or all similarities; and the order, where it is not the manifest's."""

    images: GivenArray | None = None
    captions: GivenArray | None = None
    similarity: GivenArray | None = None
    image_ids: GivenIds | None = None
    caption_ids: GivenIds | None = None


@dataclass(frozen=True)
class Embeddings:
    """Both sides in the order of the test."""

    images: Array
    captions: Array
    repeated: bool
    """Whether a row was given for each caption's image."""


class Roster:
    """The images and captions of a test, in order."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest, self.split = manifest, split_of(manifest, "test")
        self.image_splits = dict(zip(manifest.images["image_id"], manifest.images["split"], strict=True))

    def image_places(self, ids: GivenIds | None) -> Indices:
        """Where an array has each image."""
        if ids is None:
            return np.arange(len(self.split.image_ids))
        return ids.places(self.split.image_ids, self.image_splits)

    def caption_places(self, ids: GivenIds | None) -> Indices:
        """Where an array has each caption."""
        if ids is None:
            return np.arange(len(self.split.caption_ids))
        captions = self.manifest.captions
        splits = captions["image_id"].map(self.image_splits)
        return ids.places(self.split.caption_ids, dict(zip(captions["caption_id"], splits, strict=True)))

    def embeddings(self, given: Submission) -> Embeddings:
        """``NoDataError`` where they are not those of this test."""
        images, captions = given.images, given.captions
        assert images is not None, "asked for"
        assert captions is not None, "asked for"
        images.check_vectors("[images, dim]")
        captions.check_vectors("[captions, dim]")
        if images.values.shape[1] != captions.values.shape[1]:
            dims = f"{images.values.shape[1]} and {captions.values.shape[1]}"
            raise NoDataError(f"{images.name} and {captions.name} have {dims} columns; both sides need as many")
        there = self.caption_places(given.caption_ids)
        check_count(captions, len(captions.values), given.caption_ids, len(there), "captions")
        repeated = given.image_ids is None and len(images.values) == len(there) != len(self.split.image_ids)
        if repeated:
            places = first_rows(images, there, self.split)
        else:
            places = self.image_places(given.image_ids)
            check_count(images, len(images.values), given.image_ids, len(places), "images")
        return Embeddings(one_kind(images.values[places]), one_kind(captions.values[there]), repeated)

    def scores(self, given: Submission) -> StoredScores:
        """``NoDataError`` where they are not those of this test."""
        matrix = given.similarity
        assert matrix is not None, "asked for"
        images, captions = self.image_places(given.image_ids), self.caption_places(given.caption_ids)
        wanted = [len(images), len(captions)]
        found = list(matrix.values.shape)
        if found == wanted[::-1] != wanted:
            raise NoDataError(f"{matrix.name}: is [captions, images] = {found}; give [images, captions]: transpose it")
        if found != wanted:
            raise NoDataError(f"{matrix.name}: has the shape {found}; the test split is [images, captions] = {wanted}")
        matrix.check("[images, captions]")
        return StoredScores(matrix.values, images, captions)


def check_count(array: GivenArray, rows: int, ids: GivenIds | None, wanted: int, what: str) -> None:
    """``NoDataError`` where an array has not a row for each id."""
    if rows != wanted:
        source = f"{ids.name} has {wanted:,} lines" if ids else f"the test split has {wanted:,} {what}"
        raise NoDataError(f"{array.name}: {rows:,} rows, but {source}")


def first_rows(images: GivenArray, captions: Indices, split: SplitIndex) -> Indices:
    """Of an array with a row for each caption's image the row of each image; ``NoDataError`` where they differ."""
    owners = split.caption_image
    _, first = np.unique(owners, return_index=True)
    if len(first) != len(split.image_ids):
        raise NoDataError(f"{images.name}: a row per caption, but some test images have none; give a row per image")
    of_image = captions[first]
    for caption, owner in zip(captions, owners, strict=True):
        if not np.array_equal(images.values[caption], images.values[of_image[owner]]):
            raise NoDataError(
                f"{images.name}: {len(captions):,} rows, as many as captions, but rows {of_image[owner]} and {caption}"
                f" of image '{short(split.image_ids[owner])}' differ; the test split has {len(first):,} images"
            )
    return of_image


def one_kind(values: Array) -> Array:
    """float16 as it is, all else as float32, in the order of memory."""
    kind = np.float16 if values.dtype.itemsize == 2 else np.float32
    with np.errstate(over="ignore"):  # what is too large is told when it is ranked
        return np.ascontiguousarray(values, dtype=kind)
