"""How fast pixels reach a training, beside the bare reading of their file and the steps that wait for them.

Random pictures of a recipe's size are written to a scratch folder, read and trained on as a cell would, and removed.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from negbench.benchmark.errors import BenchError
from negbench.benchmark.models import registry
from negbench.benchmark.models.base import Modality, Source
from negbench.benchmark.models.two_towers import Plan, TwoTowers, make
from negbench.benchmark.speed.data_cost import check_room, timed
from negbench.benchmark.training.inputs import Batch, FromFile, SplitTensors, Tokens
from negbench.benchmark.training.loop import prepare
from negbench.benchmark.training.task import Task
from negbench.benchmark.training.trainer import Trainer, batches
from negbench.pipelines import encoders
from negbench.pipelines.encoders.pixels import PictureResizer
from negbench.pipelines.rows import Rows, read_through
from negbench.pipelines.store import Split, load_array

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig

FILE = 2**30
"""Bytes of all pictures: more than a processor's caches, and read quickly."""
CAPTIONS = 5
"""Per picture."""
WORDS, LENGTH = 1000, 10
"""Different ones, and in a caption."""
SECONDS = 20.0
"""After which no more batches are measured; there are two at least."""
MOST = 200
"""Batches."""


def measure(config: "RunConfig", folder: Path) -> dict[str, Any]:
    """Time a recipe's reading and its steps, on its device; ``BenchError`` where it reads no pixels or room is short.

    Keys: ``rows``, of the ``file`` read from start to end, the ``loader`` alone (shuffled batches, on the device), the
    ``step`` alone (always the same batch) and both ``together``, each with ``ms`` for a batch and ``images_per_s``;
    and ``ratio``: time of the loader to that of the step.
    """
    size = size_of(config)
    images = max(2 * config.batch, FILE // (3 * size * size))
    check_room(folder, images * 3 * size * size)
    prepare(config)
    with tempfile.TemporaryDirectory(prefix="bench-speed-", dir=folder) as scratch:
        path = Path(scratch) / "train_images.npy"
        write(path, images, size)
        texts = captions(images * CAPTIONS)
        towers = towers_for(config, size, texts)
        data = split(config, path, towers, texts)
        trainer = Trainer(config, Task(config, towers, data))
        ms = times(trainer, list(batches(config, 0, len(texts))))
        ms["file"] = 1e3 * timed(lambda: read_through(path)) * config.batch / images
        del trainer, data, towers
    order = ("file", "loader", "step", "together")
    rows = {name: {"ms": ms[name], "images_per_s": 1e3 * config.batch / ms[name]} for name in order}
    return {
        "recipe": config.preset,
        "size": size,
        "images": images,
        "batch": config.batch,
        "device": config.device,
        "threads": config.threads,
        "rows": rows,
        "ratio": ms["loader"] / ms["step"],
    }


def size_of(config: "RunConfig") -> int:
    """Side of a recipe's pictures; ``BenchError`` where it reads none."""
    reads = registry.for_side(config.image_tower, "image").reads["image"]
    texts = registry.for_side(config.text_tower, "text").reads["text"]
    image = config.encoder.partition("+")[0]
    encoder = encoders.make(image, "image") if (reads, texts) == ("pixels", "text") else None
    if not isinstance(encoder, PictureResizer):
        raise BenchError(f"recipe '{config.preset}' does not train on pixels and texts; try --recipe offline")
    return encoder.size


def write(path: Path, images: int, size: int) -> None:
    """Random pictures."""
    random = np.random.default_rng(0)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(images, 3, size, size))
    for start in range(0, images, 256):
        rows = min(256, images - start)
        array[start : start + rows] = random.integers(0, 256, (rows, 3, size, size), dtype=np.uint8)
    array.flush()


def captions(count: int) -> list[str]:
    """Random words."""
    words = np.array([f"word{number}" for number in range(WORDS)])
    return [" ".join(row) for row in words[np.random.default_rng(0).integers(0, WORDS, (count, LENGTH))]]


def towers_for(config: "RunConfig", size: int, texts: list[str]) -> TwoTowers:
    """The recipe's."""

    def plan(name: str, modality: Modality, shape: tuple[int, ...], settings: dict[str, Any]) -> Plan:
        read = tuple(texts) if modality == "text" else ()
        return Plan(name, Source(modality, shape, config.dim, config.hidden, config.dropout, read), settings)

    image = plan(config.image_tower, "image", (3, size, size), config.image_settings)
    return make(image, plan(config.text_tower, "text", (), config.text_settings), seed=0)


def split(config: "RunConfig", path: Path, towers: TwoTowers, texts: list[str]) -> SplitTensors:
    """As a training opens one, its pictures in their file."""
    rows = Rows(load_array(path))
    names = [str(number) for number in range(len(texts))]
    here = Split(
        images=rows,
        captions=None,
        caption_image=np.arange(len(texts)) % len(rows),
        image_rows=np.arange(len(rows)),
        caption_rows=np.arange(len(texts)),
        image_ids=names[: len(rows)],
        caption_ids=names,
        room=len(names),
    )
    tokens = Tokens(towers.text.tokens(texts), config.device)
    return SplitTensors(here, config.device, FromFile(rows, config.device), tokens)


def times(trainer: Trainer, order: list[torch.Tensor]) -> dict[str, float]:
    """Milliseconds for a batch: of ``loader``, ``step``, and both ``together``."""
    data = trainer.task.data
    wait = torch.accelerator.synchronize if trainer.config.device != "cpu" else lambda: None
    first = next(data.batches(order[:1]))
    for _ in range(2):  # memory is allocated, kernels are chosen
        trainer.step(first)
    alone = paced(itertools.repeat(first), trainer.step, wait)
    loaded = paced(data.batches(order), lambda batch: None, wait)
    both = paced(data.batches(order), trainer.step, wait)
    return {"loader": loaded, "step": alone, "together": both}


def paced(items: Iterator[Batch], action: Callable[[Batch], object], wait: Callable[[], None]) -> float:
    """Mean milliseconds of a batch that is had and used."""
    wait()
    start, number = time.perf_counter(), 0
    for number, batch in enumerate(itertools.islice(items, MOST), start=1):
        action(batch)
        if number >= 2 and time.perf_counter() - start > SECONDS:
            break
    wait()
    return 1e3 * (time.perf_counter() - start) / number
