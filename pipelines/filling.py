"""Rows of a manifest appended to files, whole batches at a time, so that a file's size says where to go on."""

import io
import math
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from negbench.pipelines.encoding import Stage
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import SPLITS, Manifest
from negbench.pipelines.rows import Features


def parts_of(manifest: Manifest, modality: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each split in the manifest's order, with their split."""
    frame: pd.DataFrame = getattr(manifest, modality)
    split_of = manifest.images.set_index("image_id")["split"]
    splits = frame["image_id"].map(split_of)
    for split in SPLITS:
        yield split, frame[splits == split]


def fill(path: Path, rows: pd.DataFrame, shape: tuple[int, ...], stage: Stage, dtype: str, batch: int) -> Iterator[int]:
    """Append what is missing of a ``.npy`` file, batch by batch, in items of ``shape``; yields how many are done."""
    kind = np.dtype(dtype).newbyteorder("<")
    with path.open("ab") as file:
        length = header(file, (len(rows), *shape), kind)
        yield from append(file, length, rows, shape, stage, kind, batch)


def append(
    file: BinaryIO,
    start: int,
    rows: pd.DataFrame,
    shape: tuple[int, ...],
    stage: Stage,
    kind: "np.dtype[Any]",
    batch: int,
) -> Iterator[int]:
    """Append what is missing behind the ``start`` bytes that a file begins with; yields the number of rows done."""
    done = kept(file, start, len(rows), math.prod(shape) * kind.itemsize, batch)
    yield done
    if done == len(rows):
        return
    where = f"{Path(file.name).name}: the encoder gave"
    with closing(stage.batches(rows.iloc[done:].itertuples(index=False), batch)) as batches:
        for features in batches:
            expected = min(batch, len(rows) - done)
            if features.shape != (expected, *shape):
                raise DataError(f"{where} {list(features.shape)}, not {[expected, *shape]}")
            if wrong := fault(features, kind):
                raise DataError(f"{where} {wrong} in rows {done}-{done + expected - 1}")
            file.write(np.ascontiguousarray(features, dtype=kind).tobytes())
            file.flush()
            done += expected
            yield done


def kept(file: BinaryIO, start: int, rows: int, item: int, batch: int) -> int:
    """Cut a file behind its last whole batch; the number of rows of ``item`` bytes that it has."""
    size = max(file.seek(0, os.SEEK_END) - start, 0)
    done = rows if size == rows * item else size // (batch * item) * batch
    file.truncate(start + done * item)
    return done


def fault(features: Features, kind: "np.dtype[Any]") -> str | None:
    """What of some vectors, or pixels, cannot be stored."""
    if kind == np.uint8:
        return None if features.dtype == kind else f"{features.dtype}, not bytes,"
    if not np.isfinite(features).all():
        return "NaN or infinity"
    return f"more than {kind.name} can hold" if np.abs(features).max(initial=0) > np.finfo(kind).max else None


def header(file: BinaryIO, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> int:
    """Write the ``.npy`` header where it is not yet there; its length in bytes."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    length = len(content.getvalue())
    if file.seek(0, os.SEEK_END) < length:
        file.truncate(0)
        file.write(content.getvalue())
    return length
