"""A cell that is recorded is not trained again; nor where its folder is another by now, as ``params.yaml`` changed."""

import shutil
from contextlib import suppress
from pathlib import Path

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.recipe.stages import OWN
from negbench.benchmark.results import records
from negbench.benchmark.results.records import RUNS, RunRecord
from negbench.benchmark.sweeps.cell import folder_of, recorded
from negbench.pipelines.atomic import new_folder
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore

THERE = "already recorded"


def found(
    folder: Path, config: RunConfig, manifest: Manifest, store: FeatureStore, replace: bool = False
) -> tuple[RunRecord, str] | None:
    """The record of this very cell, and a word on where it was: in ``folder``, or copied to it from elsewhere.

    A copy is made where ``folder`` is the cell's own. The record stays where it was, too: DVC may know of it, and be at
    work. Tables count a cell once. ``BenchError`` where ``folder`` holds another cell that is not to be replaced.
    """
    record = recorded(folder, config, manifest, store, replace)
    if record is not None:
        return record, THERE
    place = _elsewhere(config, manifest, store) if folder == folder_of(config) else None
    if place is None:
        return None
    with new_folder(folder, records.KIND) as scratch:
        for file in place.iterdir():
            if records.KIND.is_own(file.name):
                shutil.copyfile(file, scratch / file.name)
    return records.read(folder), f"copied from {place}, recorded"


def _elsewhere(config: RunConfig, manifest: Manifest, store: FeatureStore) -> Path | None:
    """Another folder of the dataset that holds the record of this very cell."""
    root, seed = RUNS / config.dataset, f"seed-{config.seed}"
    for place in sorted([*root.glob(f"*/{seed}"), *root.glob(f"{OWN}/*/{seed}")]):
        with suppress(NoDataError):  # what cannot be read is not taken
            if recorded(place, config, manifest, store, replace=True) is not None:
                return place
    return None
