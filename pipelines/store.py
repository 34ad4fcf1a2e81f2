"""The feature store on disk: what an encoder made of a manifest, in few large memory-mapped files.

A store is a folder ``features/<dataset>/<encoder>/``:

==========================  =======================================================
``<split>_images.npy``      ``[images of the split, D_image]`` float32
``<split>_captions.npy``    ``[captions of the split, D_text]`` float32
``images.parquet``          ``image_id, split``, in the order of the rows
``captions.parquet``        ``caption_id, image_id, split``, in the order of the rows
``features.json``           encoder and revisions, dims, the manifest's hash, a hash per file
==========================  =======================================================

Rows follow the manifest's order within each split.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.errors import DataError
from pipelines.files import file_digest

SCHEMA_VERSION = 1
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Split:
    """One split of a store. Arrays are memory-mapped and read-only."""

    images: Features
    """``[I, D_image]``"""
    captions: Features
    """``[C, D_text]``"""
    caption_image: NDArray[np.int64]
    """``[C]``: the row in ``images`` of each caption's image."""
    image_rows: NDArray[np.int64]
    """``[I]``: row of each image in the manifest's ``images`` table, an id over all splits."""
    caption_rows: NDArray[np.int64]
    """``[C]``: row of each caption in the manifest's ``captions`` table."""
    image_ids: list[str]
    caption_ids: list[str]


class FeatureStore:
    """Features of a dataset, opened split by split, so that a training need not touch the test split."""

    def __init__(self, folder: Path, manifest_hash: str) -> None:
        """Open ``folder``; ``DataError`` where it is missing, broken or made from another manifest."""
        self.folder = folder
        self.info = read_info(folder)
        if self.info["manifest"] != manifest_hash:
            raise DataError(
                f"{folder} was made from another manifest ({self.info['manifest'][:8]}, not {manifest_hash[:8]});"
                f" run: {self._command}"
            )
        self._image_index = self._index("images.parquet")
        self._caption_index = self._index("captions.parquet")

    @property
    def _command(self) -> str:
        return f"bench features --dataset {self.info['dataset']} --encoder {self.info['encoder']}"

    @property
    def hash(self) -> str:
        """Digest over all feature files, as stated in ``features.json``."""
        return str(self.info["hash"])

    def split(self, split: str) -> Split:
        """Open one split; ``DataError`` on changed files, a wrong number of rows or values that are not finite."""
        images = self._image_index[self._image_index["split"] == split]
        captions = self._caption_index[self._caption_index["split"] == split]
        row_of = pd.Series(np.arange(len(images)), index=images["image_id"])
        return Split(
            images=self._array(f"{split}_images.npy", len(images)),
            captions=self._array(f"{split}_captions.npy", len(captions)),
            caption_image=row_of.loc[captions["image_id"]].to_numpy(dtype=np.int64),
            image_rows=images.index.to_numpy(dtype=np.int64),
            caption_rows=captions.index.to_numpy(dtype=np.int64),
            image_ids=images["image_id"].tolist(),
            caption_ids=captions["caption_id"].tolist(),
        )

    def _index(self, name: str) -> pd.DataFrame:
        try:
            return pd.read_parquet(self.folder / name)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.folder / name}: {error}") from None

    def _array(self, name: str, rows: int) -> Features:
        path = self.folder / name
        array = load_array(path)
        if file_digest(path) != self.info["files"].get(name):
            raise DataError(f"{path} changed after it was made; make it again with: {self._command} --force")
        if len(array) != rows:
            raise DataError(f"{path}: {len(array)} rows, expected {rows}")
        check_finite(path, array)
        return array


def load_array(path: Path) -> Features:
    """Memory-map an ``.npy`` file, read-only and without pickle."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Reading `.npy`")  # files of Python 2, as SCAN's are
            array: Features = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # what numpy raises on a broken header is of any kind
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: not an array that can be read: {said[:200]}") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: not one array but an archive of several")
    return array


def check_finite(path: Path, array: Features, chunk: int = 65536) -> None:
    """``DataError`` naming the first row that holds NaN or infinity."""
    for start in range(0, len(array), chunk):
        finite = np.isfinite(array[start : start + chunk]).reshape(min(chunk, len(array) - start), -1).all(axis=1)
        if not finite.all():
            raise DataError(f"{path}: row {start + int(np.argmin(finite))} holds NaN or infinity")


def read_info(folder: Path) -> dict[str, Any]:
    """``features.json`` of a store."""
    path = folder / "features.json"
    dataset, encoder = folder.parent.name, folder.name
    try:
        info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing; make it with: bench features --dataset {dataset} --encoder {encoder}"
        ) from None
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    if not isinstance(info, dict) or info.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{path}: no file of schema version {SCHEMA_VERSION}")
    return info
