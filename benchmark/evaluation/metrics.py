"""Recalls and ranks of a test, what chance would score, and the file that keeps every query's rank."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmark.errors import NoDataError
from benchmark.evaluation.ranks import Ranks

CUTOFFS = (1, 5, 10)


def metrics(ranks: Ranks, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
    """Recalls in percent, median and mean position, for both directions, ``rsum`` and ``mr``.

    Keys: ``i2t_r1 i2t_r5 i2t_r10 i2t_medr i2t_meanr``, the same for ``t2i``, and, whatever the cutoffs, ``rsum``,
    the sum of the six recalls at 1, 5 and 10 (at most 600), and ``mr``, their mean. Nothing is rounded. The best
    position is 1; the median of an even number of queries is the mean of the two in the middle.

    A recall at more than the gallery holds says nothing: ``check_cutoffs`` refuses it.
    """
    result: dict[str, float] = {}
    total = 0.0
    for direction, tensor in (("i2t", ranks.i2t), ("t2i", ranks.t2i)):
        positions = tensor.double().cpu().numpy()
        recalls = {k: 100 * float((positions <= k).mean()) for k in (*cutoffs, *CUTOFFS)}
        result |= {f"{direction}_r{k}": recalls[k] for k in cutoffs}
        result[f"{direction}_medr"] = float(np.median(positions))
        result[f"{direction}_meanr"] = float(positions.mean())
        total += sum(recalls[k] for k in CUTOFFS)
    return result | {"rsum": total, "mr": total / (2 * len(CUTOFFS))}


def check_cutoffs(cutoffs: Sequence[int], images: int, captions: int) -> None:
    """``ValueError`` where a recall's K is no position of both galleries."""
    for cutoff in cutoffs:
        if cutoff < 1:
            raise ValueError(f"R@{cutoff}: K counts from 1")
        for size, what in ((images, "images"), (captions, "captions")):
            if cutoff > size:
                raise ValueError(f"R@{cutoff} needs a gallery of at least {cutoff} {what}; this one has {size}")


def chance_rsum(caption_image: Tensor, images: int) -> float:
    """Expected ``rsum`` of galleries in random order.

    A caption finds its image among the first K of ``images`` with probability K / I. An image with n captions
    finds one of them among the first K of C unless all K are others: 1 - prod_{j<K} (C - n - j) / (C - j).

    Args:
        caption_image: ``[C]``: the row of each caption's image.
        images: number of images in the gallery of the captions.
    """
    own = caption_image.long().bincount().double()
    own = own[own > 0]
    captions = len(caption_image)
    total = 0.0
    for cutoff in CUTOFFS:
        missed = own.new_ones(len(own))
        for drawn in range(min(cutoff, captions)):
            missed *= (captions - own - drawn).clamp(min=0) / (captions - drawn)
        total += float(1 - missed.mean()) + min(1.0, cutoff / images)
    return 100 * total


class StoredRanks(NamedTuple):
    """``ranks.npz``: mid-rank positions of every test query, with the id of the query."""

    i2t: NDArray[np.float32]
    t2i: NDArray[np.float32]
    i2t_ids: NDArray[np.str_]
    """Image ids."""
    t2i_ids: NDArray[np.str_]
    """Caption ids."""


def write_ranks(path: Path, ranks: Ranks, i2t_ids: Sequence[str], t2i_ids: Sequence[str]) -> None:
    """Write ``ranks.npz``; the same ranks always give the same bytes.

    Args:
        path: the file, in the scratch folder of a record (``pipelines.atomic.new_folder``).
        ranks: of one test.
        i2t_ids: ids of the images that have captions, in the order of ``ranks.i2t``.
        t2i_ids: ids of the captions, in the order of ``ranks.t2i``.
    """
    positions = [tensor.float().cpu().numpy() for tensor in ranks]
    for direction, array, ids in zip(("i2t", "t2i"), positions, (i2t_ids, t2i_ids), strict=True):
        if len(array) != len(ids):
            raise ValueError(f"{direction}: {len(array)} ranks, but {len(ids)} ids")
    with path.open("wb") as file:  # a handle, so that numpy adds no suffix
        np.savez_compressed(
            file,
            i2t=positions[0],
            t2i=positions[1],
            i2t_ids=np.array(i2t_ids, dtype=np.str_),
            t2i_ids=np.array(t2i_ids, dtype=np.str_),
        )


def read_ranks(path: Path) -> StoredRanks:
    """Read ``ranks.npz``; ``NoDataError`` in one line where it is missing, cut off or not such a file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            stored = StoredRanks(*(arrays[name] for name in StoredRanks._fields))
    except OSError as error:
        raise NoDataError(f"{path}: {error.strerror or error}") from None
    except KeyError as error:
        raise NoDataError(f"{path}: {error.args[0]}; run the cell again") from None
    except Exception:  # zipfile and numpy raise whatever the damaged bytes lead them to
        raise NoDataError(f"{path}: cut off, or no file of ranks; run the cell again") from None
    if len(stored.i2t) != len(stored.i2t_ids) or len(stored.t2i) != len(stored.t2i_ids):
        raise NoDataError(f"{path}: not as many ids as ranks; run the cell again")
    return stored
