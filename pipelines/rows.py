"""Rows of large ``.npy`` files in any order, read from a memory map; no file is ever loaded as a whole.

A disk is fast in order and slow out of order. So a file of short rows is read through once, in order, before its
rows are taken one by one from the system's page cache; of a file of long rows, or one that memory cannot hold, the
system is asked for the coming rows while others are in use. What is delivered never depends on that.
"""

import mmap
import os
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.errors import DataError

Features = NDArray[Any]
"""float32 vectors, or uint8 pixels."""
Indices = NDArray[np.int64]

BLOCK = 8 * 2**20
"""Bytes read at once in order."""
TOGETHER = 2**20
"""Bytes that a reading thread gathers at once: fewer, and the threads wait for each other."""
READERS = 4
"""Reading threads. They copy without Python's lock, and wait for the disk at the same time."""
LONG = 64 * 2**10
"""Bytes of a row that is worth a read of its own."""
AROUND = 2 * 2**20
"""Bytes that the system may map around a place that is touched: a huge page of its cache."""
MAPPED = 1280 * 2**20
"""A file of no more bytes stays mapped where it was touched."""
RELEASED = 512 * 2**20
"""Of a larger one, all is given back whenever this much may have been mapped."""
AHEAD = 6
"""Gathered parts that wait to be used, or are being read."""
PROBES = 64
"""Places of a file that are looked up to tell whether it is in the page cache."""


class Rows:
    """The rows of an ``.npy`` file.

    Vectors ``[n, D]`` or ``[n, L, D]`` are float16 or float32 there, and float32 when read; pixels ``[n, 3, H, W]`` are
    uint8 there, and when read. Index with an array of rows, a slice or a row; ``np.asarray`` gives all of them.
    """

    def __init__(self, array: "np.memmap[Any, Any]") -> None:
        """Of a mapped file; ``DataError`` where it holds something else."""
        self.path = Path(str(array.filename))
        pixels = array.dtype == np.uint8 and array.ndim == 4 and array.shape[1] == 3
        vectors = array.dtype in (np.float16, np.float32) and array.ndim in (2, 3)
        if not (pixels or vectors) or not array.flags.c_contiguous:
            found = f"{array.dtype} {list(array.shape)}"
            expected = "float16 or float32 [n, D] or [n, L, D], or uint8 [n, 3, H, W]"
            raise DataError(f"{self.path}: {found}, expected {expected}")
        self.dtype: np.dtype[Any] = np.dtype(np.uint8 if pixels else np.float32)
        self.shape: tuple[int, ...] = array.shape
        self.stored_bytes = array.nbytes
        self._row = array[:1].nbytes
        self._offset = array.offset
        self._by_row = self._row >= LONG or array.nbytes > physical_memory() // 2
        self._touched = 0
        self._file = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._map = mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
        self._stored: NDArray[Any] = np.ndarray(array.shape, array.dtype, self._map, self._offset)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all rows as they are read."""
        return self.dtype.itemsize * self._stored.size

    def __getitem__(self, rows: Any) -> Features:
        found: Features = self._stored[rows].astype(self.dtype, copy=not isinstance(rows, np.ndarray))
        self._touched += len(found) * (self._row + AROUND)
        if self.stored_bytes > MAPPED and self._touched > RELEASED and hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)  # unmaps them here; the page cache keeps them
            self._touched = 0
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("rows of a file can only be copied")
        whole = np.empty(self.shape, dtype=dtype or self.dtype)
        for part in self.slices(BLOCK):
            whole[part] = self[part]
        return whole

    def slices(self, size: int) -> Iterator[slice]:
        """All rows in order, about ``size`` bytes at a time."""
        step = max(1, size // max(1, self._row))
        for start in range(0, len(self), step):
            yield slice(start, min(start + step, len(self)))

    def prepare(self) -> None:
        """Read a file of short rows through in order, unless the page cache has it."""
        if not self._by_row and not self.cached():
            read_through(self.path)

    def want(self, rows: Indices) -> None:
        """Tell the system which long rows will be read soon; does not wait for them."""
        if self._by_row and hasattr(os, "posix_fadvise"):
            for start in (self._offset + rows * self._row).tolist():
                os.posix_fadvise(self._file, start, self._row, os.POSIX_FADV_WILLNEED)

    def cached(self) -> bool:
        """Whether the page cache seems to hold the file; False where the system does not tell."""
        if not hasattr(os, "RWF_NOWAIT"):
            return False
        size = os.fstat(self._file).st_size
        try:
            return all(
                os.preadv(self._file, [bytearray(1)], place * (size - 1) // PROBES, os.RWF_NOWAIT)
                for place in range(PROBES)
            )
        except OSError:  # it would have to wait for the disk, or cannot say
            return False


def release(array: NDArray[Any]) -> None:
    """Give a mapped array's pages back: they are read again when touched, most often from the page cache."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def read_through(path: Path) -> int:
    """Read a file from start to end and throw it away; its number of bytes."""
    buffer, total = bytearray(BLOCK), 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
    return total


def physical_memory() -> int:
    """Bytes of memory this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def ahead(files: Sequence[Rows], batches: Iterable[Sequence[Indices]]) -> Iterator[tuple[Features, ...]]:
    """Rows of each file for each batch, in the order of ``batches``, read by threads while others are in use.

    A batch names rows ``[B]`` of each file. A thread gathers several small batches at once.
    """
    every = list(batches)
    if not every:
        return
    for file in files:
        file.prepare()
    batch_bytes = sum(file.nbytes // max(1, len(file)) * len(rows) for file, rows in zip(files, every[0], strict=True))
    together = max(1, TOGETHER // max(1, batch_bytes))
    waiting: deque[Future[list[tuple[Features, ...]]]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        try:
            for start in range(0, len(every), together):
                some = every[start : start + together]
                for number, file in enumerate(files):
                    for batch in some:
                        file.want(batch[number])
                waiting.append(pool.submit(gather, files, some))
                if len(waiting) > AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def gather(files: Sequence[Rows], batches: Sequence[Sequence[Indices]]) -> list[tuple[Features, ...]]:
    """The rows of some batches, gathered file by file."""
    columns = []
    for number, file in enumerate(files):
        wanted = [batch[number] for batch in batches]
        ends = np.cumsum([len(rows) for rows in wanted])
        columns.append(np.split(file[np.concatenate(wanted)], ends[:-1]))
    return list(zip(*columns, strict=True))
