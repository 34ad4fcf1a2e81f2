"""Manifest and encoder to feature store: in batches, resumable, complete or not at all.

Work goes on in ``.bench/features/<dataset>/<encoder>/``. Each ``.npy`` file there has its final header from the
start and grows by whole batches, so its size says where to go on: what a kill leaves is continued at the same
batch, and the result is the same to the byte. ``state.json`` says what the work belongs to, and the size of batch
that was found to fit; work for another manifest, revision, device or batch size is thrown away. Where a batch does
not fit, that side begins again with batches of half the size: all its rows come from batches of one size.
"""

import io
import json
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

from pipelines import encoders, pictures, prepare, sources
from pipelines.atomic import move_into_place, write_text
from pipelines.encoders import CPU, Device, Encoder, Kind
from pipelines.encoding import How, OutOfMemoryError, Stage, device_for, first_batch, workers_for
from pipelines.errors import DataError, RequestError
from pipelines.files import Progress, digest, file_digest, silent
from pipelines.manifest import SPLITS, Manifest
from pipelines.sources import Source, manifest_folder, store_folder
from pipelines.store import SCHEMA_VERSION, FeatureStore, load_array, read_info

WORK = Path(".bench") / "features"
PRECOMPUTED_REVISION = "1"
SIDES: dict[str, Kind] = {"images": "image", "captions": "text"}


@dataclass(frozen=True)
class Side:
    """One side of a store: what encodes it."""

    name: str
    revision: str
    dim: int
    device: Device = CPU

    @property
    def recipe(self) -> dict[str, Any]:
        """What ``features.json`` says of it."""
        return {"name": self.name, "revision": self.revision, "dim": self.dim}


def make(
    name: str,
    encoder: str | None = None,
    *,
    batch: int | None = None,
    workers: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Path:
    """The store of a dataset, built where it is missing or stale (``force``: in any case); the manifest too.

    ``encoder`` is the dataset's own where None; for the rest see ``encoding.How``. ``DataError`` where the dataset
    is not there or broken.
    """
    source = sources.read(name)
    manifest = _manifest(name, source)
    how = How(batch, workers, device, precision)
    return _make(manifest, source, encoder or source.encoder, how, force=force, progress=progress)


def ensure(name: str, encoder: str | None = None, progress: Progress = silent) -> tuple[Manifest, FeatureStore]:
    """Manifest and store of a dataset, built where missing or stale; its own encoder where none is named."""
    source = sources.read(name)
    manifest = _manifest(name, source)
    folder = _make(manifest, source, encoder or source.encoder, How(), progress=progress)
    return manifest, FeatureStore(folder, manifest.hash)


def canonical(source: Source, encoder: str) -> str:
    """The one name of an encoder for a dataset, aliases resolved."""
    return "+".join(encoders.pair(encoder, source.format == prepare.PRECOMP))


def _manifest(name: str, source: Source) -> Manifest:
    if not prepare.is_current(name, source):
        return prepare.prepare(name)
    return Manifest.read(manifest_folder(name))


def _make(
    manifest: Manifest, source: Source, encoder: str, how: How, *, force: bool = False, progress: Progress = silent
) -> Path:
    encoder = canonical(source, encoder)
    target = store_folder(manifest.name, encoder)
    belongs = {"dataset": manifest.name, "encoder": encoder, "manifest": manifest.hash}
    names = dict(zip(SIDES, encoders.pair(encoder, source.format == prepare.PRECOMP), strict=True))
    work = WORK / manifest.name / encoder
    work.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{work}.lock"):  # cells that run side by side need the same store
        if force or not _is_current(target, belongs, names):
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
                        _encode(work, manifest, modality, side, stage, batch, progress)
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
        return Side(name, PRECOMPUTED_REVISION, array.shape[1])
    card = encoders.card(name, SIDES[modality])
    return Side(name, card.revision, card.dim, device_for(how) if card.devices else CPU)


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
    work: Path, manifest: Manifest, modality: str, side: Side, stage: Stage, batch: int, progress: Progress
) -> None:
    """All splits of a modality, with one size of batch."""
    for split, rows in _parts(manifest, modality):
        for done in _fill(work / f"{split}_{modality}.npy", rows, side.dim, stage, batch):
            progress(f"{split} {modality}", done, len(rows))


def _halve(work: Path, modality: str, side: Side, how: How, batch: int) -> int:
    """Begin a modality again with batches of half the size. What was made goes first: a kill must not leave both."""
    if how.batch is not None or batch == 1:
        hint = "leave --batch out, and one that fits is found" if how.batch and batch > 1 else "use --device cpu"
        raise RequestError(f"encoder '{side.name}': a batch of {batch} does not fit on '{side.device.name}'; {hint}")
    for split in SPLITS:
        (work / f"{split}_{modality}.npy").unlink(missing_ok=True)
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


def _fill(path: Path, rows: pd.DataFrame, dim: int, stage: Stage, batch: int) -> Iterator[int]:
    """Append what is missing, batch by batch; yields the number of rows that are done."""
    with path.open("ab") as file:
        header = _header(file, len(rows), dim)
        size = max(file.seek(0, os.SEEK_END) - header, 0)
        done = len(rows) if size == len(rows) * dim * 4 else size // (batch * dim * 4) * batch
        file.truncate(header + done * dim * 4)
        yield done
        if done == len(rows):
            return
        with closing(stage.batches(rows.iloc[done:].itertuples(index=False), batch)) as batches:
            for features in batches:
                expected = min(batch, len(rows) - done)
                if features.shape != (expected, dim):
                    raise DataError(f"{path.name}: the encoder gave {list(features.shape)}, not {[expected, dim]}")
                if not np.isfinite(features).all():
                    raise DataError(
                        f"{path.name}: the encoder gave NaN or infinity in rows {done}-{done + expected - 1}"
                    )
                file.write(np.ascontiguousarray(features, dtype="<f4").tobytes())
                file.flush()
                done += expected
                yield done


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
