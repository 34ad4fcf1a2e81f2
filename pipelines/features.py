"""Manifest and encoder to feature store: in batches, resumable, complete or not at all.

Work goes on in ``.bench/features/<dataset>/<encoder>/``. Each ``.npy`` file there has its final header from the
start and grows by whole batches, so its size says where to go on: what a kill leaves is continued at the same
batch, and the result is the same to the byte. ``state.json`` says what the work belongs to; work for another
manifest, revision or batch size is thrown away.
"""

import io
import json
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
from PIL import Image

from pipelines import datasets, encoders, prepare, sources
from pipelines.atomic import move_into_place, write_text
from pipelines.errors import DataError
from pipelines.files import Progress, decode, digest, file_digest, read_bytes, silent
from pipelines.manifest import SPLITS, Manifest
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


def make(
    name: str, encoder: str | None = None, *, batch: int = BATCH, force: bool = False, progress: Progress = silent
) -> Path:
    """The store of a dataset, built where it is missing or stale (``force``: in any case); the manifest too.

    ``encoder`` is the dataset's own where None. ``DataError`` where the dataset is not there or broken.
    """
    source = sources.read(name)
    manifest = _manifest(name, source)
    return _make(manifest, source, encoder or source.encoder, batch=batch, force=force, progress=progress)


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
    batch: int = BATCH,
    force: bool = False,
    progress: Progress = silent,
) -> Path:
    encoder = canonical(source, encoder)
    target = store_folder(manifest.name, encoder)
    image, text = _sides(manifest, source, encoder)
    recipe = {
        "dataset": manifest.name,
        "encoder": encoder,
        "image": vars(image),
        "text": vars(text),
        "manifest": manifest.hash,
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
                    path = work / f"{split}_{modality}.npy"
                    for done in _fill(path, rows, side.dim, encode, batch):
                        progress(f"{split} {modality}", done, len(rows))
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
            sides.append(Side(name, "1", array.shape[1]))
        else:
            found = encoders.get(name)
            sides.append(Side(name, found.revision, found.dim))
    return sides[0], sides[1]


def _is_current(target: Path, recipe: dict[str, Any]) -> bool:
    try:
        info = read_info(target)
    except DataError:
        return False
    return all(info.get(key) == value for key, value in recipe.items()) and all(
        (target / file).exists() for file in info["files"]
    )


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


def _fill(path: Path, rows: pd.DataFrame, dim: int, encode: Encode, batch: int) -> Iterator[int]:
    """Append what is missing, batch by batch; yields the number of rows that are done."""
    with path.open("ab") as file:
        header = _header(file, len(rows), dim)
        size = max(file.seek(0, os.SEEK_END) - header, 0)
        done = len(rows) if size == len(rows) * dim * 4 else size // (batch * dim * 4) * batch
        file.truncate(header + done * dim * 4)
        yield done
        for start in range(done, len(rows), batch):
            some = rows.iloc[start : start + batch]
            features = encode(some)
            if features.shape != (len(some), dim):
                raise DataError(f"{path.name}: the encoder gave {list(features.shape)}, not {[len(some), dim]}")
            if not np.isfinite(features).all():
                raise DataError(
                    f"{path.name}: the encoder gave NaN or infinity in rows {start}-{start + len(some) - 1}"
                )
            file.write(np.ascontiguousarray(features, dtype="<f4").tobytes())
            file.flush()
            yield start + len(some)


def _image_encoder(manifest: Manifest, source: Source, side: Side) -> Encode:
    root = source.root(manifest.name)
    if side.name == encoders.PRECOMPUTED:
        return lambda rows: _precomputed(root, rows)
    made: list[encoders.Encoder] = []  # when the first batch needs it: weights take seconds

    def encode(rows: pd.DataFrame) -> NDArray[np.float32]:
        if not made:
            made.append(encoders.make(side.name))
        return made[0].encode([picture(root, *row) for row in rows[["file", "row", "content"]].itertuples(index=False)])

    return encode


def _text_encoder(side: Side) -> Encode:
    made: list[encoders.Encoder] = []

    def encode(rows: pd.DataFrame) -> NDArray[np.float32]:
        if not made:
            made.append(encoders.make(side.name))
        return made[0].encode(rows["text"].tolist())

    return encode


def picture(root: Path, file: str, row: int, content: str) -> Image.Image:
    """One picture of a manifest; ``DataError`` where its file is not the one the manifest was made from."""
    path = root / file
    if path.suffix == ".npy":
        return Image.fromarray(load_array(path)[row])
    if digest(read_bytes(path)) != content:
        raise DataError(f"{path} changed since the dataset was added; see: bench data check")
    return decode(path)


def _precomputed(root: Path, rows: pd.DataFrame) -> NDArray[np.float32]:
    arrays = {file: load_array(root / file) for file in rows["file"].unique()}
    features = []
    for file, row, content in rows[["file", "row", "content"]].itertuples(index=False):
        vector = arrays[file][row]
        if digest(vector.tobytes()) != content:
            raise DataError(f"{root / file}: row {row} changed since the dataset was added; see: bench data check")
        features.append(vector.astype(np.float32))
    return np.stack(features)


def _header(file: BinaryIO, rows: int, dim: int) -> int:
    """Write the ``.npy`` header of ``[rows, dim]`` float32 where it is not yet there; its length in bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)})
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
    arrays = [f"{split}_{modality}.npy" for modality in ("images", "captions") for split in SPLITS]
    files = {file: file_digest(work / file) for file in arrays}
    info = {
        "schema_version": SCHEMA_VERSION,
        **recipe,
        "dtype": "float32",
        "files": files,
        "hash": digest(*(f"{file} {content}\n" for file, content in sorted(files.items()))),
    }
    write_text(work / "features.json", json.dumps(info, indent=2) + "\n")
    (work / "state.json").unlink()


def _point(target: Path) -> None:
    """Keep ``features/<dataset>.json`` at the store of the dataset's own encoder: pipeline stages depend on it."""
    pointer = target.parent.with_suffix(".json")
    text = json.dumps({"encoder": target.name, "hash": read_info(target)["hash"]}) + "\n"
    if not pointer.exists() or pointer.read_text(encoding="utf-8") != text:
        write_text(pointer, text)
