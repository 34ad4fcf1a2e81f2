"""The feature store on disk: what an encoder made of a manifest, in few large memory-mapped files.

A store is a folder ``features/<dataset>/<encoder>/``:

================================  =======================================================
``<split>_images.npy``            ``[images of the split, D_image]`` float32 or float16
``<split>_captions.npy``          ``[captions of the split, D_text]`` float32 or float16
``<split>_images_sequences.npy``  ``[images of the split, L, D_image]``, of regions; likewise for captions, of tokens
``images.parquet``                ``image_id, split``, in the order of the rows
``captions.parquet``              ``caption_id, image_id, split``, in the order of the rows
``features.json``                 encoder and revisions, dims, dtype, the manifest's hash, a digest per file
================================  =======================================================

Rows follow the manifest's order within each split. Sequences are there where the encoder, or the source's own
features, give them; the vectors beside them are their means. A step of zeros is padding: it is in no mean, and no
model looks at it. So a shorter sequence needs no length beside it.

With the encoder ``pixels:SIZE``, ``<split>_images.npy`` is uint8 ``[images of the split, 3, SIZE, SIZE]``. With
``texts`` there is no ``<split>_captions.npy``: captions are what the manifest says.
"""

import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negbench.pipelines.atomic import Kind, whole, write_text
from negbench.pipelines.errors import DataError, damage
from negbench.pipelines.files import POINTER, digest, file_digest, is_pointer, read_json
from negbench.pipelines.manifest import SPLITS, Manifest
from negbench.pipelines.manifest import read_info as read_manifest_info
from negbench.pipelines.rows import BLOCK, Rows, release
from negbench.pipelines.sources import manifest_folder, store_folder
from negbench.pipelines.splits import SplitIndex, index_of

SCHEMA_VERSION = 1
MODALITIES = ("images", "captions")
Form = Literal["vectors", "pixels", "texts"]
INDEXES = ("images.parquet", "captions.parquet")
"""Which rows the features are of."""
KIND = Kind(
    "feature store",
    "features.json",
    (
        *INDEXES,
        *(f"{split}_{modality}{end}.npy" for split in SPLITS for modality in MODALITIES for end in ("", "_sequences")),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Split(SplitIndex):
    """One split of a store. Features stay in their files until they are asked for."""

    images: Rows
    """``[I, D_image]``, or pixels ``[I, 3, H, W]``"""
    captions: Rows | None
    """``[C, D_text]``; None where captions are text alone"""


class FeatureStore:
    """Features of a dataset, opened split by split, so that a training need not touch the test split."""

    def __init__(self, folder: Path, manifest_hash: str) -> None:
        """Open ``folder``; ``DataError`` where it is missing, broken or made from another manifest."""
        self.folder = folder
        self.info = read_info(folder)
        self._check_manifest(manifest_hash)
        self._image_index, self._caption_index = (self._index(name) for name in INDEXES)

    def _check_manifest(self, there: str) -> None:
        if self.info["manifest"] != there:
            raise DataError(
                f"{self.folder} was made from another manifest ({self.info['manifest'][:8]}, not {there[:8]});"
                f" run: {self._command}"
            )

    @property
    def _command(self) -> str:
        return f"bench features --dataset {self.info['dataset']} --encoder {self.info['encoder']}"

    @property
    def hash(self) -> str:
        """Digest over all files: the features, and which rows they are of."""
        return str(self.info["hash"])

    @property
    def forms(self) -> dict[str, Form]:
        """In which form the store has ``images`` and ``captions``."""
        image, text = (self.info.get(side, {}) for side in ("image", "text"))
        return {
            "images": "pixels" if "shape" in image else "vectors",
            "captions": "texts" if text.get("dim") == 0 else "vectors",
        }

    @property
    def room(self) -> int:
        """The rows of the longer of the manifest's two tables: those of every split are below it."""
        return max(len(self._image_index), len(self._caption_index))

    def beside(self, encoder: str) -> "FeatureStore":
        """The store that another encoder made of the same manifest; ``DataError`` where there is none."""
        folder = store_folder(self.info["dataset"], encoder)
        if not (folder / KIND.mark).exists():
            command = f"bench features --dataset {self.info['dataset']} --encoder {encoder}"
            raise DataError(f"{folder} is not there; make it with: {command}")
        return FeatureStore(folder, self.info["manifest"])

    def texts(self, split: str) -> list[str]:
        """The captions of a split in the order of its rows, as the manifest has them; of any store.

        ``DataError`` where the manifest is missing, broken, or not the one that the store was made from.
        """
        rows = self._caption_index.index[self._caption_index["split"] == split]
        return self._texts.iloc[rows].tolist()

    @cached_property
    def _texts(self) -> "pd.Series[str]":
        folder = manifest_folder(self.info["dataset"])
        self._check_manifest(read_manifest_info(folder)["hash"])
        return Manifest.read(folder).captions["text"]

    def split(self, split: str) -> Split:
        """Open one split; ``DataError`` on changed files, a wrong number of rows or values that are not finite."""
        images = self._image_index[self._image_index["split"] == split]
        captions = self._caption_index[self._caption_index["split"] == split]
        return Split(
            images=self._rows(f"{split}_images.npy", len(images)),
            captions=None if self.forms["captions"] == "texts" else self._rows(f"{split}_captions.npy", len(captions)),
            **vars(index_of(images, captions, self.room)),
        )

    def _index(self, name: str) -> pd.DataFrame:
        try:
            frame = pd.read_parquet(self.folder / name)
            found = index_digest(frame)
        except Exception as error:  # pyarrow raises whatever the damaged bytes lead it to
            raise DataError(
                f"{self.folder / name}: {damage(error)}; make it again with: {self._command} --force"
            ) from None
        self._compare(name, found)
        return frame

    def sequences(self, split: str) -> dict[str, Rows]:
        """Regions or tokens ``[n, L, D]`` by modality, ``images`` and ``captions``, as far as the store has them."""
        index = {"images": self._image_index, "captions": self._caption_index}
        names = {modality: f"{split}_{modality}_sequences.npy" for modality in MODALITIES}
        return {
            modality: self._rows(name, int((index[modality]["split"] == split).sum()))
            for modality, name in names.items()
            if name in self.info["files"]
        }

    def check(self, split: str) -> None:
        """``DataError`` where a file of the split is missing or not the one that was made."""
        for name in self.info["files"]:
            if name.startswith(f"{split}_"):
                self._check(name)

    def _check(self, name: str) -> None:
        path = self.folder / name
        if not path.exists():
            raise DataError(f"{path} is missing; make it again with: {self._command} --force")
        self._compare(name, file_digest(path))

    def _compare(self, name: str, digest: str) -> None:
        if digest != self.info["files"].get(name):
            path = self.folder / name
            raise DataError(f"{path} changed after it was made; make it again with: {self._command} --force")

    def _rows(self, name: str, count: int) -> Rows:
        self._check(name)
        path = self.folder / name
        rows = Rows(load_array(path))
        if len(rows) != count:
            raise DataError(f"{path}: {len(rows)} rows, expected {count}")
        check_finite(path, rows)
        return rows


def index_digest(frame: pd.DataFrame) -> str:
    """Of the rows of a store's table: the same on every machine, however the file is packed."""
    return digest(*(f"{name}\n" + "\n".join(map(str, frame[name])) + "\n\n" for name in sorted(frame.columns)))


def digests(folder: Path) -> dict[str, str]:
    """Of every file of a store that decides a number."""
    arrays = {path.name: file_digest(path) for path in folder.glob("*.npy")}
    tables = {name: index_digest(pd.read_parquet(folder / name)) for name in INDEXES}
    return dict(sorted((arrays | tables).items()))


def digest_of(files: dict[str, str]) -> str:
    """One digest over those of all files."""
    return digest(*(f"{file} {content}\n" for file, content in sorted(files.items())))


def intact(folder: Path) -> bool:
    """Whether the files of a store are those that were made. A training asks that of each file it opens."""
    try:
        return bool(read_info(folder)["files"] == digests(folder))
    except (DataError, OSError, ValueError):
        return False


def load_array(path: Path) -> "np.memmap[Any, Any]":
    """Memory-map an ``.npy`` file, read-only and without pickle."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: not a file")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Reading `.npy`")  # files of Python 2, as SCAN's are
            array: np.memmap[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # what numpy raises on a broken header is of any kind
        objects = "Python objects" in str(error) or "Object arrays" in str(error)
        unlike = "it does not begin as an .npy file does" if "allow_pickle" in str(error) else damage(error)
        said = "it holds Python objects, which are never loaded" if objects else unlike
        if is_pointer(path):
            raise DataError(f"{path}: {POINTER}") from None
        raise DataError(f"{path}: not an array that can be read: {said}") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: not one array but an archive of several")
    return array


def check_finite(path: Path, array: Rows | NDArray[Any]) -> None:
    """``DataError`` naming the first row that holds NaN or infinity; whole numbers are not looked at."""
    if array.dtype.kind in "ui":
        return
    step = max(1, BLOCK * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), step):
        part = array[start : start + step]
        finite = np.isfinite(part).reshape(len(part), -1).all(axis=1)
        if not finite.all():
            raise DataError(f"{path}: row {start + int(np.argmin(finite))} holds NaN or infinity")
        if not isinstance(array, Rows):
            release(array)


def read_info(folder: Path) -> dict[str, Any]:
    """``features.json`` of a store; ``DataError`` names the key that is wrong."""
    path = whole(folder) / "features.json"
    command = f"bench features --dataset {folder.parent.name} --encoder {folder.name}"
    if not path.exists():
        raise DataError(f"{path} is missing; make it with: {command}")
    try:
        info = read_json(path)
    except DataError as error:
        raise DataError(f"{error}; make it again with: {command} --force") from None
    if not isinstance(info, dict) or info.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{path}: no file of schema version {SCHEMA_VERSION}; make it again with: {command} --force")
    for key in ("dataset", "encoder", "manifest", "hash"):
        if not isinstance(info.get(key), str):
            raise DataError(f"{path}: {key}: missing, or not text; make it again with: {command} --force")
    for key in ("image", "text", "made", "captions"):
        if not isinstance(info.get(key, {}), dict):
            raise DataError(f"{path}: {key}: not keys and values; make it again with: {command} --force")
    files = info.get("files")
    if not isinstance(files, dict) or not all(KIND.is_own(name) and isinstance(files[name], str) for name in files):
        raise DataError(f"{path}: files: no digests of a store's files; make it again with: {command} --force")
    if not {*INDEXES} <= files.keys():
        raise DataError(f"{path}: of an older version, without digests of its tables; make it again with: {command}")
    if info["hash"] != digest_of(files):
        raise DataError(f"{path}: hash: not that of its files; make it again with: {command} --force")
    return info


def tables_of(manifest: Manifest) -> dict[str, pd.DataFrame]:
    """The tables of a store: which rows its features are of."""
    split_of = manifest.images.set_index("image_id")["split"]
    captions = manifest.captions[["caption_id", "image_id"]].assign(split=manifest.captions["image_id"].map(split_of))
    return dict(zip(INDEXES, (manifest.images[["image_id", "split"]], captions), strict=True))


def add_digests(target: Path, manifest: Manifest) -> None:
    """Give a store that an older version made the digests of its tables, where these are the manifest's.

    So nothing is encoded again. Whatever else is wrong with the store is found by who looks whether it is current.
    """
    try:
        info = read_json(target / KIND.mark)
        files = digests(target)
        arrays = {name: digest for name, digest in files.items() if name not in INDEXES}
        tables = {name: index_digest(frame) for name, frame in tables_of(manifest).items()}
        if info["manifest"] == manifest.hash and info["files"] == arrays and files == arrays | tables:
            info |= {"files": files, "hash": digest_of(files)}
            write_text(target / KIND.mark, json.dumps(info, indent=2) + "\n")
    except (DataError, OSError, ValueError, TypeError, KeyError):
        return


def complete(folder: Path, manifest: Manifest, recipe: dict[str, Any]) -> None:
    """Add ids and ``features.json`` to the finished arrays."""
    for name, frame in tables_of(manifest).items():
        frame.to_parquet(folder / name, index=False)
    files = digests(folder)
    info = {
        "schema_version": SCHEMA_VERSION,
        **recipe,
        "files": files,
        "hash": digest_of(files),
    }
    write_text(folder / "features.json", json.dumps(info, indent=2) + "\n")
