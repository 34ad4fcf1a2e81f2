"""A split cut into parts of whole batches, to be encoded by several at a time; put together, the same bytes."""

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from negbench.pipelines.encoding import How
from negbench.pipelines.filling import header, kept


@dataclass(frozen=True)
class Shard:
    """Rows of one split, from ``start`` up to ``stop``."""

    dataset: str
    manifest_hash: str
    encoder: str
    how: How
    modality: str
    split: str
    batch: int
    dtype: str
    start: int = 0
    stop: int = 0
    path: str = ""
    """Where its bytes go, without a header."""


class Spread(Protocol):
    """Whoever encodes several shards at a time."""

    @property
    def count(self) -> int:
        """Shards at a time."""

    def encode(self, shards: Sequence[Shard]) -> Iterator[Shard]:
        """``features.encode_shard`` of each; yields them as they end, and raises what one of them raised."""


def cut(whole: Shard, begun: int, rows: int, count: int, folder: Path) -> list[Shard]:
    """At most ``count`` shards of the rows behind the first ``begun``, as equal as whole batches can be."""
    batches = math.ceil((rows - begun) / whole.batch)
    each = math.ceil(batches / count) * whole.batch
    found = []
    for start in range(begun, rows, each or 1):
        stop = min(start + each, rows)
        name = f"{whole.split}_{whole.modality}-{whole.batch}-{start}-{stop}"
        found.append(replace(whole, start=start, stop=stop, path=str(folder / name)))
    return found


def spread_over(
    spread: Spread, whole: Shard, path: Path, folder: Path, rows: int, shape: tuple[int, ...]
) -> Iterator[int]:
    """Let others encode what is missing of a ``.npy`` file; yields the number of rows that are done.

    Args:
        spread: who.
        whole: of the split.
        path: the file, which may have its first batches.
        folder: for the parts; what an earlier try left there is gone on with.
        rows: of the split.
        shape: of an item.
    """
    kind = np.dtype(whole.dtype).newbyteorder("<")
    folder.mkdir(exist_ok=True)
    with path.open("ab") as file:
        start = header(file, (rows, *shape), kind)
        done = kept(file, start, rows, math.prod(shape) * kind.itemsize, whole.batch)
        yield done
        shards = cut(whole, done, rows, spread.count, folder)
        for shard in spread.encode(shards):
            done += shard.stop - shard.start
            yield done
        for shard in shards:
            with Path(shard.path).open("rb") as part:
                shutil.copyfileobj(part, file)
            Path(shard.path).unlink()
