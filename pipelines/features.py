"""Manifest and encoder to feature store: in batches, resumable, complete or not at all.

Work goes on in ``.bench/features/<dataset>/<encoder>/``. Each ``.npy`` file there has its final header from the
start and grows by whole batches, so its size says where to go on: what a kill leaves is continued at the same
batch, and the result is the same to the byte. ``state.json`` says what the work belongs to; work for another
manifest, revision or batch size is thrown away.
"""

import io
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from pipelines import datasets, encoders, prepare, sources
from pipelines.atomic import move_into_place, write_text
from pipelines.errors import DataError
from pipelines.files import Progress, digest, file_digest, silent
from pipelines.manifest import SPLITS, Manifest
from pipelines.pictures import load
from pipelines.rows import Features, Rows
from pipelines.sources import Source, manifest_folder, store_folder
from pipelines.store import SCHEMA_VERSION, FeatureStore, load_array, read_info

WORK = Path(".bench") / "features"
BATCH = 128

Encode = Callable[[pd.DataFrame], NDArray[np.float32]]
"""Some rows of the manifest's images or captions to ``[n, D]``."""


@dataclass(frozen=True)
class Side:
    """One side of a store: what encodes it."""

    name: str
    revision: str
    dim: int
    length: int = 0
    """Steps of a sequence; 0 where an item is one vector."""

    @property
    def recipe(self) -> dict[str, Any]:
        """What ``features.json`` says of it."""
        return {key: value for key, value in vars(self).items() if key != "length" or value}


def make(
    name: str,
    encoder: str | None = None,
    *,
    dtype: str | None = None,
    batch: int = BATCH,
    force: bool = False,
    progress: Progress = silent,
) -> Path:
    """The store of a dataset, built where it is missing or stale (``force``: in any case); the manifest too.

    ``encoder`` is the dataset's own where None. ``dtype``, float32 or float16, is that of the store before where
    None. ``DataError`` where the dataset is not there or broken.
    """
    source = sources.read(name)
    manifest = _manifest(name, source)
    return _make(manifest, source, encoder or source.encoder, dtype=dtype, batch=batch, force=force, progress=progress)


def ensure(name: str, encoder: str | None = None, progress: Progress = silent) -> tuple[Manifest, FeatureStore]:
    """Manifest and store of a dataset, built where missing or stale; its own encoder where none is named."""
    source = sources.read(name)
    manifest = _manifest(name, source)
    folder = _make(manifest, source, encoder or source.encoder, progress=progress)
    return manifest, FeatureStore(folder, manifest.hash)


def canonical(source: Source, encoder: str) -> str:
    """The one name of an encoder for a dataset, aliases resolved."""
    return "+".join(encoders.pair(encoder, datasets.holds_features(source.format)))


def _manifest(name: str, source: Source) -> Manifest:
    if not prepare.is_current(name, source):
        return prepare.prepare(name)
    return Manifest.read(manifest_folder(name))


def _make(
    manifest: Manifest,
    source: Source,
    encoder: str,
    *,
    dtype: str | None = None,
    batch: int = BATCH,
    force: bool = False,
    progress: Progress = silent,
) -> Path:
    encoder = canonical(source, encoder)
    target = store_folder(manifest.name, encoder)
    image, text = _sides(manifest, source, encoder)
    dtype = dtype or _dtype(target)
    recipe = {
        "dataset": manifest.name,
        "encoder": encoder,
        "image": image.recipe,
        "text": text.recipe,
        "manifest": manifest.hash,
        "dtype": dtype,
    }
    work = WORK / manifest.name / encoder
    work.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{work}.lock"):  # cells that run side by side need the same store
        if force or not _is_current(target, recipe):
            _begin(work, {**recipe, "batch": batch})
            for modality, side, encode in (
                ("images", image, _image_encoder(manifest, source, image)),
                ("captions", text, _text_encoder(text)),
            ):
                for split, rows in _parts(manifest, modality):
                    path = work / f"{split}_{modality}{'_sequences' if side.length else ''}.npy"
                    shape = (side.length, side.dim) if side.length else (side.dim,)
                    for done in _fill(path, rows, shape, dtype, encode, batch):
                        progress(f"{split} {modality}", done, len(rows))
                    if side.length:
                        _pool(path, work / f"{split}_{modality}.npy", dtype, batch)
            _finish(work, manifest, recipe)
            target.parent.mkdir(parents=True, exist_ok=True)
            move_into_place(work, target)
        if encoder == source.encoder:
            _point(target)
    return target


def _sides(manifest: Manifest, source: Source, encoder: str) -> tuple[Side, Side]:
    names = encoders.pair(encoder, datasets.holds_features(source.format))
    sides = []
    for name in names:
        if name == encoders.PRECOMPUTED:
            array = load_array(source.root(manifest.name) / manifest.images["file"].iloc[0])
            sides.append(Side(name, "1", array.shape[-1], array.shape[1] if array.ndim == 3 else 0))
        else:
            found = encoders.get(name)
            sides.append(Side(name, found.revision, found.dim, getattr(found, "length", 0)))
    return sides[0], sides[1]


def _is_current(target: Path, recipe: dict[str, Any]) -> bool:
    try:
        info = read_info(target)
    except DataError:
        return False
    return all(info.get(key) == value for key, value in recipe.items()) and all(
        (target / file).exists() for file in info["files"]
    )


def _dtype(target: Path) -> str:
    """That of the store which is there already, so that only who asks for another one gets it."""
    try:
        return str(read_info(target)["dtype"])
    except DataError:
        return "float32"


def _begin(work: Path, state: dict[str, Any]) -> None:
    """Keep what an earlier try left, if it was the same work."""
    path, text = work / "state.json", json.dumps(state, indent=2) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    shutil.rmtree(work, ignore_errors=True)
    write_text(path, text)


def _parts(manifest: Manifest, modality: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each split in the manifest's order, with their split."""
    frame: pd.DataFrame = getattr(manifest, modality)
    split_of = manifest.images.set_index("image_id")["split"]
    splits = frame["image_id"].map(split_of)
    for split in SPLITS:
        yield split, frame[splits == split]


def _fill(
    path: Path, rows: pd.DataFrame, shape: tuple[int, ...], dtype: str, encode: Encode, batch: int
) -> Iterator[int]:
    """Append what is missing, batch by batch, in items of ``shape``; yields the number of rows that are done."""
    kind = np.dtype(dtype).newbyteorder("<")
    item = math.prod(shape) * kind.itemsize
    with path.open("ab") as file:
        header = _header(file, (len(rows), *shape), kind)
        size = max(file.seek(0, os.SEEK_END) - header, 0)
        done = len(rows) if size == len(rows) * item else size // (batch * item) * batch
        file.truncate(header + done * item)
        yield done
        for start in range(done, len(rows), batch):
            some = rows.iloc[start : start + batch]
            where = f"{path.name}: the encoder gave"
            features = encode(some)
            if features.shape != (len(some), *shape):
                raise DataError(f"{where} {list(features.shape)}, not {[len(some), *shape]}")
            if not np.isfinite(features).all():
                raise DataError(f"{where} NaN or infinity in rows {start}-{start + len(some) - 1}")
            if np.abs(features).max(initial=0) > np.finfo(kind).max:
                raise DataError(f"{where} more than {dtype} can hold in rows {start}-{start + len(some) - 1}")
            file.write(np.ascontiguousarray(features, dtype=kind).tobytes())
            file.flush()
            yield start + len(some)


def _pool(sequences: Path, path: Path, dtype: str, batch: int) -> None:
    """The vectors beside some sequences: the means of what is stored."""
    stored = Rows(load_array(sequences))
    numbers = pd.DataFrame({"row": np.arange(len(stored))})
    for _ in _fill(
        path, numbers, stored.shape[2:], dtype, lambda some: mean_of_steps(stored[some["row"].to_numpy()]), batch
    ):
        pass


def mean_of_steps(sequences: Features) -> Features:
    """``[n, L, D]`` to ``[n, D]``: the mean of the steps that are no padding; zeros where all are."""
    real = (sequences != 0).any(axis=2).sum(axis=1, dtype=np.float32)
    mean: Features = sequences.sum(axis=1) / np.maximum(real, 1)[:, None]
    return mean


def _image_encoder(manifest: Manifest, source: Source, side: Side) -> Encode:
    root = source.root(manifest.name)
    if side.name == encoders.PRECOMPUTED:
        return lambda rows: _precomputed(root, rows)
    made: list[encoders.Encoder] = []  # when the first batch needs it: weights take seconds

    def encode(rows: pd.DataFrame) -> NDArray[np.float32]:
        if not made:
            made.append(encoders.make(side.name))
        return made[0].encode([load(root, *row) for row in rows[["file", "row", "content"]].itertuples(index=False)])

    return encode


def _text_encoder(side: Side) -> Encode:
    made: list[encoders.Encoder] = []

    def encode(rows: pd.DataFrame) -> NDArray[np.float32]:
        if not made:
            made.append(encoders.make(side.name))
        return made[0].encode(rows["text"].tolist())

    return encode


def _precomputed(root: Path, rows: pd.DataFrame) -> NDArray[np.float32]:
    arrays = {file: load_array(root / file) for file in rows["file"].unique()}
    features = []
    for file, row, content in rows[["file", "row", "content"]].itertuples(index=False):
        vector = arrays[file][row]
        if digest(vector.tobytes()) != content:
            raise DataError(f"{root / file}: row {row} changed since the dataset was added; see: bench data check")
        features.append(vector.astype(np.float32))
    return np.stack(features)


def _header(file: BinaryIO, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> int:
    """Write the ``.npy`` header where it is not yet there; its length in bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    length = len(header.getvalue())
    if file.seek(0, os.SEEK_END) < length:
        file.truncate(0)
        file.write(header.getvalue())
    return length


def _finish(work: Path, manifest: Manifest, recipe: dict[str, Any]) -> None:
    """Add ids and ``features.json`` to the finished arrays."""
    split_of = manifest.images.set_index("image_id")["split"]
    manifest.images[["image_id", "split"]].to_parquet(work / "images.parquet", index=False)
    index = manifest.captions[["caption_id", "image_id"]].assign(split=manifest.captions["image_id"].map(split_of))
    index.to_parquet(work / "captions.parquet", index=False)
    files = {path.name: file_digest(path) for path in sorted(work.glob("*.npy"))}
    info = {
        "schema_version": SCHEMA_VERSION,
        **recipe,
        "files": files,
        "hash": digest(*(f"{file} {content}\n" for file, content in sorted(files.items()))),
    }
    write_text(work / "features.json", json.dumps(info, indent=2) + "\n")
    (work / "state.json").unlink()


def _point(target: Path) -> None:
    """Keep ``features/<dataset>.json`` at the store of the dataset's own encoder: pipeline stages depend on it."""
    pointer = target.parent.with_suffix(".json")
    info = read_info(target)
    text = json.dumps({"encoder": target.name, "manifest": info["manifest"], "hash": info["hash"]}) + "\n"
    if not pointer.exists() or pointer.read_text(encoding="utf-8") != text:
        write_text(pointer, text)
