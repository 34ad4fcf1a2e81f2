"""Noise that others published: an ``.npy`` file of indices that says which training captions have another image.

Files of one name follow different conventions. They are told apart by their length and by what they do:

==============  =========================  =================================================================
``captions``    a row for each caption     the image of each caption, captions moved one by one (NCR, BiCro)
``images``      a row for each caption     the same, but all captions of an image moved together, or none;
                                           each image gets those of one
``permutation`` a row for each image       a permutation: the captions of image k go to image p[k] (DECL)
``rows``        a row for each caption     a permutation: the image of row k gets caption p[k] (RDE)
==============  =========================  =================================================================

An image of ``captions`` keeps its number of captions; a file that keeps nothing is refused. Rows and images are
numbered from 0 in the order of the training split, as in ``train_caps.txt``. Where every image has one caption, a
permutation could be either of the last two; it is read as ``rows``, the one that is published for such data.

Sources: Z. Huang et al. (2021), NeurIPS; Y. Qin et al. (2022), ACM MM; Y. Qin et al. (2024), CVPR.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from negbench.pipelines import noise
from negbench.pipelines.errors import DataError, RequestError, invalid
from negbench.pipelines.files import file_digest
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.rows import Indices
from negbench.pipelines.store import load_array

Kind = Literal["captions", "images", "permutation", "rows"]
WORDS: dict[Kind, str] = {
    "captions": "an image for each caption; captions were moved one by one",
    "images": "an image for each caption; whole images were moved, all their captions together",
    "permutation": "a permutation of images: the captions of image k go to image p[k]",
    "rows": "a permutation of captions: the image of row k gets caption p[k]",
}


class NoiseFile(BaseModel):
    """The settings of ``data/<name>.yaml`` that name a file of noise."""

    model_config = ConfigDict(frozen=True, strict=True)

    noise_file: str
    noise_digest: str
    """Of the file when the dataset was added."""


@dataclass(frozen=True)
class Moves:
    """What a file does."""

    kind: Kind
    owner: Indices
    """``[C]``: the image of each training caption, among the training images."""


def registered(settings: dict[str, Any]) -> dict[str, Any]:
    """A source's settings with the digest of the file that they name, where they name one."""
    if "noise_file" not in settings:
        return settings
    if settings.get("noise_ratio"):
        raise RequestError("--noise-file and --noise-ratio are two kinds of noise; give one")
    return settings | {"noise_digest": file_digest(Path(settings["noise_file"]))}


def settings(name: str, given: dict[str, Any]) -> tuple[NoiseFile | None, dict[str, Any]]:
    """The file among a source's settings, and the settings that are left."""
    rest = {key: value for key, value in given.items() if key not in NoiseFile.model_fields}
    if len(rest) == len(given):
        return None, rest
    try:
        return NoiseFile.model_validate(given), rest
    except ValidationError as error:
        raise DataError(f"data/{name}.yaml: {invalid(error)}") from None


def add(manifest: Manifest, file: NoiseFile, folder: Path) -> Manifest:
    """Move the training captions as the file says; ``truth.npz`` in ``folder`` follows them.

    Captions keep their ids and texts; what was right before is kept as judgements, as for ``noise.add``.
    """
    path = Path(file.noise_file)
    if file_digest(path) != file.noise_digest:
        raise DataError(f"{path}: changed since '{manifest.name}' was added with it; add the dataset again (--replace)")
    captions = manifest.captions
    images = manifest.images["image_id"][manifest.images["split"] == "train"].to_numpy(dtype=object)
    place = {image: number for number, image in enumerate(images)}
    rows = np.flatnonzero(captions["image_id"].isin(place.keys()).to_numpy())
    own = captions["image_id"].iloc[rows].map(place).to_numpy(dtype=np.int64)
    moves = read(path, own, len(images))
    sort = np.argsort(moves.owner, kind="stable")
    order = np.arange(len(captions))
    order[rows] = rows[sort]
    after = captions["image_id"].to_numpy(dtype=object).copy()
    after[rows] = images[moves.owner[sort]]
    changed = rows[moves.owner != own]
    about = {
        "noise_file": path.name,
        "noise_digest": file.noise_digest,
        "kind": moves.kind,
        "words": WORDS[moves.kind],
        "captions": len(rows),
        "exchanged": len(changed),
        "images without a caption": len(images) - len(np.unique(moves.owner)),
    }
    return noise.moved(manifest, noise.Exchange(order, after, changed), about, folder)


def read(path: Path, own: Indices, images: int) -> Moves:
    """What a file does to training captions whose images are ``own [C]`` of so many; ``DataError`` where it fits none.

    Args:
        path: of the file.
        own: the image of each training caption, from 0.
        images: of the training split.
    """
    values = load_array(path)
    if not np.issubdtype(values.dtype, np.integer) or values.ndim != 1:
        raise DataError(f"{path}: {values.dtype} {list(values.shape)}, expected a list of whole numbers")
    captions, index = len(own), np.asarray(values, dtype=np.int64)
    if len(index) not in (captions, images):
        raise DataError(
            f"{path}: {len(index):,} rows fit neither the {captions:,} training captions nor the {images:,} training"
            " images; it was made for other data, or other rows were read (--skip-bad, another split)"
        )
    permutes = bool((np.sort(index) == np.arange(len(index))).all())
    if len(index) == captions and permutes:
        owner = np.empty_like(own)
        owner[index] = own
        return Moves("rows", owner)
    if len(index) == captions and index.min() >= 0 and index.max() < images:
        return Moves(_kind(path, own, index, images), index)
    if len(index) != captions and permutes:
        return Moves("permutation", index[own])
    each = "captions" if len(index) == captions else "images"
    raise DataError(
        f"{path}: {len(index):,} rows from {index.min():,} to {index.max():,} are neither an image for each caption, 0"
        f" to {images - 1:,}, nor a permutation of {each}"
    )


def _kind(path: Path, own: Indices, index: Indices, images: int) -> Kind:
    """Whether all captions of an image moved together, each to an image of its own, or captions one by one.

    Both are exchanges. ``DataError`` where the file is none: where an image has another number of captions than before.
    """
    targets = np.full(images, -1)
    targets[own] = index
    moved = np.unique(targets[targets >= 0])
    if (targets[own] == index).all() and (index != own).any() and len(moved) == len(np.unique(own)):
        return "images"
    before, after = np.bincount(own, minlength=images), np.bincount(index, minlength=images)
    if (other := int((before != after).sum())) == 0:
        return "captions"
    raise DataError(
        f"{path}: {len(index):,} rows, an image for each caption, but no exchange: {other:,} of {images:,} images would"
        f" have another number of captions than before ({after.min():,} to {after.max():,}, before {before.min():,} to"
        f" {before.max():,}); published noise keeps it, so this file is of other data or of other rows"
    )
