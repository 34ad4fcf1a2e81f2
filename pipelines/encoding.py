"""Rows of a manifest to vectors: made ready ahead in worker threads, encoded in batches, in order.

Threads do: decoding, hashing and resizing pictures give up Python's lock. A batch holds the same rows however many
threads there are and wherever a killed run went on, so its vectors are the same.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.encoders import CPU, Device, Encoder
from negbench.pipelines.errors import RequestError

BATCH = 128
GPU_BATCH = 1024
"""What is tried first; halved until it fits."""
MOST_WORKERS = 16

Given = TypeVar("Given")
Made = TypeVar("Made")


class OutOfMemoryError(Exception):
    """A batch does not fit into the device's memory."""


@dataclass(frozen=True)
class How:
    """How encoding is done: what decides time and the last digits, not what the vectors mean. None: found."""

    batch: int | None = None
    """Items encoded at once."""
    workers: int | None = None
    """Threads that decode pictures."""
    device: str | None = None
    """As torch names it; the GPU where there is one."""
    precision: str | None = None
    """``float32``, ``bfloat16`` or ``float16``; half precision on a GPU."""


class Stage:
    """One side of a dataset on its way to vectors. The encoder is loaded with the first batch: it takes seconds."""

    def __init__(self, load: Callable[[], Encoder], item: Callable[[Any], Any], workers: int) -> None:
        self._load, self._item, self._workers = load, item, workers
        self._encoder: Encoder | None = None

    def batches(self, rows: Iterable[Any], batch: int) -> Generator[NDArray[np.float32]]:
        """``[batch, dim]`` each, the last one as long as what is left; ``OutOfMemoryError`` where it does not fit."""
        encoder = self._encoder = self._encoder or self._load()
        ahead = prepared_ahead(lambda row: encoder.prepare(self._item(row)), rows, self._workers, batch)
        with closing(ahead) as prepared:
            while some := list(islice(prepared, batch)):
                yield _forward(encoder, some)


def prepared_ahead(work: Callable[[Given], Made], items: Iterable[Given], workers: int, most: int) -> Generator[Made]:
    """``map``, in order, with ``workers`` threads that are at most ``most`` items ahead; none: without threads."""
    if not workers:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prepare")
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def workers_for(how: How) -> int:
    """As many threads as the process may use cores, or as asked for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS) if how.workers is None else how.workers


def device_for(how: How) -> Device:
    """What is asked for, or the GPU in half precision where there is one; ``RequestError`` where it cannot be."""
    import torch

    name = how.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.ones(1, device=name).cpu()  # what is there can be read: on meta it cannot
    except (RuntimeError, AssertionError, ImportError):
        raise RequestError(f"device '{name}' cannot be used here; cpu always can") from None
    half = "bfloat16" if not name.startswith("cuda") or torch.cuda.is_bf16_supported() else "float16"
    return Device(name, how.precision or ("float32" if name == "cpu" else half))


def first_batch(how: How, device: Device) -> int:
    """What is tried first."""
    return how.batch or (BATCH if device == CPU or device.name == "cpu" else GPU_BATCH)


def _forward(encoder: Encoder, some: list[Any]) -> NDArray[np.float32]:
    try:
        return encoder.forward(some)
    except RuntimeError as error:
        # By name, so that encoders without torch need not import it.
        if type(error).__name__ != "OutOfMemoryError" and "DefaultCPUAllocator" not in str(error):
            raise
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        sys.modules["torch"].cuda.empty_cache()  # what the failed batch left
    raise OutOfMemoryError
