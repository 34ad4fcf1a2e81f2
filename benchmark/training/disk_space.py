"""Whether a disk has room for what a cell writes, asked before its training."""

import os
import shutil
from pathlib import Path

from negbench import methods
from negbench.benchmark.errors import RunFailedError
from negbench.benchmark.evaluation.similarities import BINS
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.training.inputs import towers_for
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore

KINDS = 10
"""More kinds of pairs than there are histograms of."""
ROW = 1000
"""Bytes of an epoch's row, generously."""
TIMES = 2
"""The record stands already while it is written once more, with its audit; and a checkpoint while the next one is."""
COPIES = 6
"""Of the weights in a checkpoint: as they are, of the memory, at the best epoch, after the warm-up, two of AdamW."""


def check(config: RunConfig, manifest: Manifest, store: FeatureStore, folder: Path, where: Path) -> None:
    """``RunFailedError`` where the record ``folder``, or the checkpoint at ``where``, would not find room."""
    weights, rest = weights_size(config, store), numbers_size(config, manifest)
    disks: dict[int, tuple[Path, int]] = {}
    for place, size in ((folder, weights + rest), (where, checkpoint_size(config, weights) + rest)):
        there = next(path for path in Path(os.path.realpath(place)).parents if path.exists())
        disk = there.stat().st_dev
        disks[disk] = (there, disks.get(disk, (there, 0))[1] + TIMES * size)
    for there, needed in disks.values():
        if (free := shutil.disk_usage(there).free) < needed:
            raise RunFailedError(
                f"{there}: {free / 1e6:,.1f} MB are free, but the record of this cell needs {needed / 1e6:,.1f} MB;"
                " make room, or name another place with --out"
            )


def weights_size(config: RunConfig, store: FeatureStore) -> int:
    """Bytes of a cell's model and method."""
    method = methods.get(config.method)(**config.settings)
    method.make_room(store.room)
    modules = (towers_for(store, config), method)
    return sum(value.nbytes for module in modules for value in module.state_dict().values())


def checkpoint_size(config: RunConfig, weights: int) -> int:
    """Bytes of a checkpoint's tensors, for so many bytes of model and method."""
    pairs = config.batch + config.memory if config.memory else 0
    return COPIES * weights + pairs * (2 * 4 * config.dim + 2 * 8)


def numbers_size(config: RunConfig, manifest: Manifest) -> int:
    """Bytes of a record's ranks with their ids, histograms and rows, not compressed."""
    splits = manifest.images.set_index("image_id")["split"]
    captions = manifest.captions[manifest.captions["image_id"].map(splits) == "test"]
    longest = max(int(captions[name].str.len().max()) for name in ("image_id", "caption_id"))
    ranks = len(captions) * (2 * 4 + 3 * 4 * longest)  # numpy keeps the texts of a table at the width of the longest
    return ranks + config.epochs * (KINDS * BINS * 8 + ROW) + 2**20
