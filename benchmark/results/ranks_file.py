"""``ranks.npz``: the rank of every test query, as a record keeps it. Needs no torch."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.results.records import AGAIN

if TYPE_CHECKING:
    from negbench.benchmark.evaluation.ranks import Ranks

QUERIES: dict[tuple[str, bytes], NDArray[np.str_]] = {}
"""Ids that were read: all cells of one test have the same, and they take most of a file."""


class StoredRanks(NamedTuple):
    """Mid-rank positions of every test query, with the id of the query."""

    i2t: NDArray[np.float32]
    t2i: NDArray[np.float32]
    i2t_ids: NDArray[np.str_]
    """Image ids."""
    t2i_ids: NDArray[np.str_]
    """Caption ids."""
    t2i_images: NDArray[np.str_]
    """The image id of each caption: queries of one image are no independent witnesses."""


def write_ranks(
    path: Path, ranks: "Ranks", i2t_ids: Sequence[str], t2i_ids: Sequence[str], t2i_images: Sequence[str]
) -> str:
    """Write ``ranks.npz`` and return its sha256; the same ranks always give the same bytes.

    Args:
        path: the file, in the scratch folder of a record (``negbench.pipelines.atomic.new_folder``).
        ranks: of one test.
        i2t_ids: ids of the images that have captions, in the order of ``ranks.i2t``.
        t2i_ids: ids of the captions, in the order of ``ranks.t2i``.
        t2i_images: the image id of each caption, in the same order.
    """
    stored = StoredRanks(
        *(tensor.float().cpu().numpy() for tensor in ranks),
        *(np.array(ids, dtype=np.str_) for ids in (i2t_ids, t2i_ids, t2i_images)),
    )
    if fault := _fault(stored):
        raise ValueError(fault)
    with path.open("wb") as file:  # a handle, so that numpy adds no suffix
        np.savez_compressed(file, allow_pickle=False, **stored._asdict())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_ranks(path: Path, sha256: str) -> StoredRanks:
    """Read ``ranks.npz``.

    Args:
        path: the file.
        sha256: what ``run.json`` says of it, ``RunRecord.ranks_sha256``; records older than that key say nothing.

    Raises:
        NoDataError: one line, where it is missing, cut off, edited or not such a file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NoDataError(f"{path}: {error.strerror}; {AGAIN}") from None
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise NoDataError(f"{path}: cut off or edited, it is not the file that run.json tells of; {AGAIN}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            stored = StoredRanks(*(arrays[name] for name in StoredRanks._fields))
    except KeyError as error:
        raise NoDataError(f"{path}: {error.args[0]}; {AGAIN}") from None
    except Exception:  # zipfile and numpy raise whatever the damaged bytes lead them to
        raise NoDataError(f"{path}: no file of ranks; {AGAIN}") from None
    if fault := _fault(stored):
        raise NoDataError(f"{path}: {fault}; {AGAIN}")
    return StoredRanks(stored.i2t, stored.t2i, *map(_kept_once, stored[2:]))


def _kept_once(ids: NDArray[np.str_]) -> NDArray[np.str_]:
    """The same array for equal ids, so that a thousand cells can be kept in memory."""
    return QUERIES.setdefault((ids.dtype.str, hashlib.sha256(ids.tobytes()).digest()), ids)


def _fault(stored: StoredRanks) -> str:
    """What does not fit together, or nothing."""
    for direction, positions, ids in (("i2t", stored.i2t, stored.i2t_ids), ("t2i", stored.t2i, stored.t2i_ids)):
        if positions.ndim != 1 or ids.shape != positions.shape:
            return f"{direction}: {_shape(positions)} ranks, but {_shape(ids)} ids"
        if positions.dtype != np.float32 or not (np.isfinite(positions) & (positions >= 1)).all():
            return f"{direction}: not all are positions of 1 or more"
        if len(set(ids.tolist())) != len(ids):  # faster than np.unique, which sorts
            return f"{direction}: an id stands twice"
    if stored.t2i_images.shape != stored.t2i.shape:
        return f"t2i: {_shape(stored.t2i)} ranks, but {_shape(stored.t2i_images)} image ids"
    if set(stored.t2i_images.tolist()) != set(stored.i2t_ids.tolist()):
        return "the images of the captions are not those that are queries"
    return ""


def _shape(array: NDArray[Any]) -> str:
    return " x ".join(map(str, array.shape))
