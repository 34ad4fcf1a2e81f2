"""How fast a feature store is read in shuffled batches, beside the bare reading of its files from start to end.

A store of random numbers is written to a scratch folder, read by a process of its own, so that its peak memory is
that of the reading alone, and removed. Files are read cold, after the page cache was told to drop them and did, and
warm.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from negbench.benchmark.errors import BenchError
from negbench.benchmark.speed.environment import environment
from negbench.benchmark.training.peak_memory import peak_mb
from negbench.pipelines.rows import BLOCK, Indices, Rows, ahead, read_through
from negbench.pipelines.store import SCHEMA_VERSION, FeatureStore, digest_of, digests, load_array

MANIFEST = "generated"
BATCH = 128
STEPS = 1000
"""Most training batches read together from both sides."""


@dataclass(frozen=True)
class Scale:
    """Sizes of a store."""

    images: int
    captions: int
    image_dim: int
    text_dim: int
    regions: int = 0
    """Per image; 0 stores a vector each."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The feature files."""
        shapes: dict[str, tuple[int, ...]] = {"train_images.npy": (self.images, self.image_dim)}
        if self.regions:
            shapes["train_images_sequences.npy"] = (self.images, self.regions, self.image_dim)
        return {**shapes, "train_captions.npy": (self.captions, self.text_dim)}

    def size(self, dtype: str) -> int:
        """Bytes of all feature files."""
        return sum(int(np.prod(shape)) for shape in self.shapes().values()) * np.dtype(dtype).itemsize


SCALES = {
    "coco": Scale(images=123_287, captions=616_767, image_dim=512, text_dim=512),
    "regions": Scale(images=30_000, captions=150_000, image_dim=2048, text_dim=512, regions=36),
}


def measure(scale: Scale, folder: Path, dtype: str = "float32", repeats: int = 3) -> dict[str, Any]:
    """Write a store below ``folder``, read it in another process, remove it; ``BenchError`` where room is short.

    Keys: ``files``, each, and in the end both together, with ``name``, ``bytes`` and, in bytes per second,
    ``cold_in_order``, ``cold_shuffled``, ``warm_in_order``, ``warm_shuffled`` (medians of repeats that take turns; cold
    is None where the system does not drop its cache) and the ratios ``cold`` and ``warm``; ``open_s`` (opening, all
    digests checked), ``batch_ms`` (a batch of both sides as a training reads it), ``peak_mb`` (resident memory, mapped
    pages of the files included).
    """
    check_room(folder, scale.size(dtype))
    with tempfile.TemporaryDirectory(prefix="bench-speed-", dir=folder) as scratch:
        write(scale, Path(scratch), dtype)
        command = [sys.executable, "-P", "-m", __name__, scratch, str(repeats)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())
        if done.returncode:
            raise BenchError(f"reading failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
        found: dict[str, Any] = json.loads(done.stdout)
    return {**vars(scale), "dtype": dtype, "batch": BATCH, **found}


def check_room(folder: Path, needed: int) -> None:
    """``BenchError`` where there is no such folder, or not as many bytes free, and some more."""
    if not folder.is_dir():
        raise BenchError(f"{folder}: there is no such folder; name another with --folder")
    if needed * 1.1 > (free := shutil.disk_usage(folder).free):
        raise BenchError(f"{folder}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free; use --folder")


def write(scale: Scale, folder: Path, dtype: str) -> None:
    """A store with one split of random numbers; captions go round the images."""
    random = np.random.default_rng(0)
    shapes = scale.shapes()
    for name, shape in shapes.items():
        with (folder / name).open("wb") as file:
            header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            step = max(1, BLOCK // (4 * int(np.prod(shape[1:]))))
            for start in range(0, shape[0], step):
                block = random.random((min(step, shape[0] - start), *shape[1:]), dtype=np.float32)
                file.write(block.astype(dtype).tobytes())
            file.flush()
            os.fsync(file.fileno())  # what is not yet on the disk cannot be dropped from the cache
    images = [f"image-{number}" for number in range(scale.images)]
    captions = {
        "caption_id": [f"caption-{number}" for number in range(scale.captions)],
        "image_id": [images[number % scale.images] for number in range(scale.captions)],
    }
    pd.DataFrame({"image_id": images, "split": "train"}).to_parquet(folder / "images.parquet")
    pd.DataFrame({**captions, "split": "train"}).to_parquet(folder / "captions.parquet")
    files = digests(folder)
    info = {
        "schema_version": SCHEMA_VERSION,
        "dataset": "generated",
        "encoder": "generated",
        "manifest": MANIFEST,
        "dtype": dtype,
        "files": files,
        "hash": digest_of(files),
    }
    (folder / "features.json").write_text(json.dumps(info))


def read(folder: Path, repeats: int) -> dict[str, Any]:
    """What ``measure`` returns of a store that was written."""
    start = time.perf_counter()
    store = FeatureStore(folder, MANIFEST)
    split, sequences = store.split("train"), store.sequences("train")
    open_s = time.perf_counter() - start
    random = np.random.default_rng(0)
    images, texts = sequences.get("images", split.images), split.captions
    if texts is None:
        raise BenchError(f"{folder} has captions as text alone: there is no file of them to read")
    paths = [images.path, texts.path]
    captions = random.permutation(len(texts))[: STEPS * BATCH]
    wanted = [(split.caption_image[rows], rows) for rows in batches(captions)]
    start = time.perf_counter()
    exhaust(ahead([images, texts], wanted))
    batch_ms = 1e3 * (time.perf_counter() - start) / len(wanted)
    del split, sequences, images, texts  # what is mapped stays in the page cache
    files = [file_speeds(path, repeats, random) for path in paths]
    return {"files": [*files, together(files)], "open_s": open_s, "batch_ms": batch_ms, "peak_mb": peak_mb()}


def file_speeds(path: Path, repeats: int, random: np.random.Generator) -> dict[str, Any]:
    """One file, in order and shuffled, cold and warm, in turns."""
    size = path.stat().st_size
    random_order = random.permutation(len(load_array(path)))
    ways = {"in_order": lambda: read_through(path), "shuffled": lambda: shuffled(path, random_order)}
    seconds: dict[str, list[float]] = {f"{heat}_{way}": [] for heat in ("cold", "warm") for way in ways}
    for _ in range(repeats):
        for way, action in ways.items():
            if drop(path):
                seconds[f"cold_{way}"].append(timed(action))
            read_through(path)
            seconds[f"warm_{way}"].append(timed(action))
    speeds = {key: size / statistics.median(values) if values else None for key, values in seconds.items()}
    ratios = {heat: ratio(speeds[f"{heat}_shuffled"], speeds[f"{heat}_in_order"]) for heat in ("cold", "warm")}
    return {"name": path.name, "bytes": size, **speeds, **ratios}


def together(files: list[dict[str, Any]]) -> dict[str, Any]:
    """The files one after the other: all bytes over all seconds."""
    size = sum(file["bytes"] for file in files)
    speeds: dict[str, float | None] = {}
    for key in [f"{heat}_{way}" for heat in ("cold", "warm") for way in ("in_order", "shuffled")]:
        seconds = [file["bytes"] / file[key] for file in files if file[key] is not None]
        speeds[key] = size / sum(seconds) if len(seconds) == len(files) else None
    ratios = {heat: ratio(speeds[f"{heat}_shuffled"], speeds[f"{heat}_in_order"]) for heat in ("cold", "warm")}
    return {"name": "both", "bytes": size, **speeds, **ratios}


def ratio(one: float | None, other: float | None) -> float | None:
    """None where either was not measured."""
    return one / other if one is not None and other is not None else None


def shuffled(path: Path, order: Indices) -> None:
    """All rows in this order, by batches, as a training reads them."""
    exhaust(ahead([Rows(load_array(path))], [(rows,) for rows in batches(order)]))


def batches(order: Indices) -> list[Indices]:
    """Whole batches and the rest."""
    return np.split(order, range(BATCH, len(order), BATCH))


def exhaust(items: Iterator[Any]) -> None:
    """Take every item and keep none."""
    for _ in items:
        pass


def drop(path: Path) -> bool:
    """Ask the page cache to drop a file; whether it did."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return not Rows(load_array(path)).cached()


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(read(Path(sys.argv[1]), int(sys.argv[2]))))
