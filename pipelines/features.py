"""Manifest and encoder to feature store: in batches, resumable, complete or not at all.

Work goes on in ``.bench/features/<dataset>/<encoder>/``. Each ``.npy`` file there has its final header from the
start and grows by whole batches, so its size says where to go on: what a kill leaves is continued at the same
batch, and the result is the same to the byte. ``state.json`` says what the work belongs to, and the size of batch
that was found to fit; work for another manifest, revision, device or batch size is thrown away. Where a batch does
not fit, that side begins again with batches of half the size: all its rows come from batches of one size.
"""

import io
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from pipelines import datasets, encoders, pictures, prepare, sources
from pipelines.atomic import move_into_place, write_text
from pipelines.encoders import CPU, Device, Encoder, Kind
from pipelines.encoding import BATCH, How, OutOfMemoryError, Stage, device_for, first_batch, workers_for
from pipelines.errors import DataError, RequestError
from pipelines.files import Progress, digest, file_digest, silent
from pipelines.manifest import SPLITS, Manifest
from pipelines.rows import Features, Rows
from pipelines.sources import Source, manifest_folder, store_folder
from pipelines.store import KIND, SCHEMA_VERSION, FeatureStore, load_array, read_info

WORK = Path(".bench") / "features"
PRECOMPUTED_REVISION = "1"
SIDES: dict[str, Kind] = {"images": "image", "captions": "text"}


@dataclass(frozen=True)
class Side:
    """One side of a store: what encodes it."""

    name: str
    revision: str
    dim: int
    length: int = 0
    """Steps of a sequence; 0 where an item is one vector."""
    device: Device = CPU

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an item."""
        return (self.length, self.dim) if self.length else (self.dim,)

    @property
    def recipe(self) -> dict[str, Any]:
        """What ``features.json`` says of it."""
        about = {"name": self.name, "revision": self.revision, "dim": self.dim}
        return about | ({"length": self.length} if self.length else {})


def make(
    name: str,
    encoder: str | None = None,
    *,
    dtype: str | None = None,
    batch: int | None = None,
    workers: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Path:
    """The store of a dataset, built where it is missing or stale (``force``: in any case); the manifest too.

    ``encoder`` is the dataset's own where None; ``dtype``, float32 or float16, that of the store before; for the rest
    see ``encoding.How``. ``DataError`` where the dataset is not there or broken.
    """
    source = sources.read(name)
    manifest = _manifest(name, source)
    how = How(batch, workers, device, precision)
    encoder = encoder or source.encoder
    return _make(manifest, source, encoder, how, dtype=dtype, force=force, verify=True, progress=progress)


def ensure(name: str, encoder: str | None = None, progress: Progress = silent) -> tuple[Manifest, FeatureStore]:
    """Manifest and store of a dataset, built where missing or stale; its own encoder where none is named."""
    source = sources.read(name)
    manifest = _manifest(name, source)
    folder = _make(manifest, source, encoder or source.encoder, How(), progress=progress)
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
    how: How,
    *,
    dtype: str | None = None,
    force: bool = False,
    verify: bool = False,
    progress: Progress = silent,
) -> Path:
    """``verify``: a store is stale, too, where one of its bytes changed."""
    encoder = canonical(source, encoder)
    target = store_folder(manifest.name, encoder)
    dtype = dtype or _dtype(target)
    belongs = {"dataset": manifest.name, "encoder": encoder, "manifest": manifest.hash, "dtype": dtype}
    names = dict(zip(SIDES, encoders.pair(encoder, datasets.holds_features(source.format)), strict=True))
    work = WORK / manifest.name / encoder
    work.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{work}.lock"):  # cells that run side by side need the same store
        if force or not _is_current(target, belongs, names) or (verify and not intact(target)):
            prepare.check_apart(manifest.name, source)
            KIND.check(target)
            sides = {modality: _side(manifest, source, modality, names[modality], how) for modality in SIDES}
            recipe = {**belongs, "image": sides["images"].recipe, "text": sides["captions"].recipe}
            asked = {"batch": how.batch, "devices": {modality: asdict(side.device) for modality, side in sides.items()}}
            found = _begin(work, {**recipe, **asked})
            made = {}
            for modality, side in sides.items():
                batch = found.get(modality) or first_batch(how, side.device)
                stage = _stage(manifest, source, modality, side, how)
                while True:
                    try:
                        _encode(work, manifest, modality, side, stage, dtype, batch, progress)
                        break
                    except OutOfMemoryError:
                        batch = _halve(work, modality, side, how, batch)
                made[modality] = {**asdict(side.device), "batch": batch}
            _finish(work, manifest, {**recipe, "made": made})
            target.parent.mkdir(parents=True, exist_ok=True)
            move_into_place(work, target)
        if encoder == source.encoder:
            _point(target)
    return target


def _side(manifest: Manifest, source: Source, modality: str, name: str, how: How) -> Side:
    if name == encoders.PRECOMPUTED:
        array = load_array(source.root(manifest.name) / manifest.images["file"].iloc[0])
        return Side(name, PRECOMPUTED_REVISION, array.shape[-1], array.shape[1] if array.ndim == 3 else 0)
    card = encoders.card(name, SIDES[modality])
    return Side(name, card.revision, card.dim, card.length, device_for(how) if card.devices else CPU)


def _is_current(target: Path, belongs: dict[str, Any], names: dict[str, str]) -> bool:
    """Whether the store is what would be made now. A model that is not on this machine cannot have changed here."""
    try:
        info = read_info(target)
    except DataError:
        return False
    for modality, name in names.items():
        kind = SIDES[modality]
        now = PRECOMPUTED_REVISION if name == encoders.PRECOMPUTED else encoders.revision(name, kind)
        if now not in (None, info.get(kind, {}).get("revision")):
            return False
    return all(info.get(key) == value for key, value in belongs.items()) and all(
        (target / file).exists() for file in info["files"]
    )


def intact(target: Path) -> bool:
    """Whether the files of a store are those that were made. A training asks that of each file it opens."""
    try:
        files = read_info(target)["files"]
        return all(file_digest(target / file) == digest for file, digest in files.items())
    except (DataError, OSError):
        return False


def _dtype(target: Path) -> str:
    """That of the store which is there already, so that only who asks for another one gets it."""
    try:
        return str(read_info(target)["dtype"])
    except DataError:
        return "float32"


def _begin(work: Path, state: dict[str, Any]) -> dict[str, int]:
    """Keep what an earlier try left, if it was the same work; the sizes of batch it found, per modality."""
    path = work / "state.json"
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        found: dict[str, int] = before.pop("found")
        if before == state:
            return found
    except (OSError, ValueError, KeyError, AttributeError):
        pass
    shutil.rmtree(work, ignore_errors=True)
    write_text(path, json.dumps({**state, "found": {}}, indent=2) + "\n")
    return {}


def _encode(
    work: Path, manifest: Manifest, modality: str, side: Side, stage: Stage, dtype: str, batch: int, progress: Progress
) -> None:
    """All splits of a modality, with one size of batch."""
    for split, rows in _parts(manifest, modality):
        path = work / f"{split}_{modality}{'_sequences' if side.length else ''}.npy"
        for done in _fill(path, rows, side.shape, stage, dtype, batch):
            progress(f"{split} {modality}", done, len(rows))
        if side.length:
            _pool(path, work / f"{split}_{modality}.npy", dtype)


def _pool(sequences: Path, path: Path, dtype: str) -> None:
    """The vectors beside some sequences: the means of what is stored."""
    stored = Rows(load_array(sequences))
    rows = pd.DataFrame({"row": np.arange(len(stored))})
    for _ in _fill(path, rows, stored.shape[2:], Stage(lambda: _Means(stored), attrgetter("row"), 0), dtype, BATCH):
        pass


def _halve(work: Path, modality: str, side: Side, how: How, batch: int) -> int:
    """Begin a modality again with batches of half the size. What was made goes first: a kill must not leave both."""
    if how.batch is not None or batch == 1:
        hint = "leave --batch out, and one that fits is found" if how.batch and batch > 1 else "use --device cpu"
        raise RequestError(f"encoder '{side.name}': a batch of {batch} does not fit on '{side.device.name}'; {hint}")
    for split in SPLITS:
        for path in work.glob(f"{split}_{modality}*.npy"):
            path.unlink()
    path = work / "state.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    state["found"][modality] = batch // 2
    write_text(path, json.dumps(state, indent=2) + "\n")
    return batch // 2


def _parts(manifest: Manifest, modality: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each split in the manifest's order, with their split."""
    frame: pd.DataFrame = getattr(manifest, modality)
    split_of = manifest.images.set_index("image_id")["split"]
    splits = frame["image_id"].map(split_of)
    for split in SPLITS:
        yield split, frame[splits == split]


def _fill(
    path: Path, rows: pd.DataFrame, shape: tuple[int, ...], stage: Stage, dtype: str, batch: int
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
        if done == len(rows):
            return
        where = f"{path.name}: the encoder gave"
        with closing(stage.batches(rows.iloc[done:].itertuples(index=False), batch)) as batches:
            for features in batches:
                expected = min(batch, len(rows) - done)
                if features.shape != (expected, *shape):
                    raise DataError(f"{where} {list(features.shape)}, not {[expected, *shape]}")
                if not np.isfinite(features).all():
                    raise DataError(f"{where} NaN or infinity in rows {done}-{done + expected - 1}")
                if np.abs(features).max(initial=0) > np.finfo(kind).max:
                    raise DataError(f"{where} more than {dtype} can hold in rows {done}-{done + expected - 1}")
                file.write(np.ascontiguousarray(features, dtype=kind).tobytes())
                file.flush()
                done += expected
                yield done


def mean_of_steps(sequences: Features) -> Features:
    """``[n, L, D]`` to ``[n, D]``: the mean of the steps that are no padding; zeros where all are."""
    real = (sequences != 0).any(axis=2).sum(axis=1, dtype=np.float32)
    mean: Features = sequences.sum(axis=1) / np.maximum(real, 1)[:, None]
    return mean


def _stage(manifest: Manifest, source: Source, modality: str, side: Side, how: How) -> Stage:
    root = source.root(manifest.name)
    if side.name == encoders.PRECOMPUTED:
        return Stage(lambda: _Rows(root), _itself, workers=0)
    load = partial(encoders.make, side.name, SIDES[modality], side.device)
    if modality == "captions":
        return Stage(load, attrgetter("text"), workers=0)
    return Stage(load, lambda row: pictures.load(root, row.file, row.row, row.content), workers_for(how))


def _itself(row: Any) -> Any:
    return row


class _Rows(Encoder):
    """The rows of the source's own feature files."""

    name, revision, kind = encoders.PRECOMPUTED, PRECOMPUTED_REVISION, "image"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._array = cache(load_array)

    def prepare(self, item: Any) -> NDArray[np.float32]:
        vector = self._array(self._root / item.file)[item.row]
        if digest(vector.tobytes()) != item.content:
            raise DataError(
                f"{self._root / item.file}: row {item.row} changed since the dataset was added; see: bench data check"
            )
        return np.asarray(vector, dtype=np.float32)

    def forward(self, prepared: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.stack(prepared)


class _Means(Encoder):
    """The vectors of sequences that are stored already."""

    name, revision, kind = "means", "1", "image"

    def __init__(self, stored: Rows) -> None:
        self._stored = stored

    def forward(self, prepared: list[int]) -> NDArray[np.float32]:
        return mean_of_steps(self._stored[np.array(prepared)])


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
