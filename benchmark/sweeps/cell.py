"""A cell from configuration to record: features, training, one look at the test split, the record on disk."""

import errno
import os
import time
from datetime import UTC, datetime
from inspect import getfile
from pathlib import Path
from typing import Any

from negbench import methods
from negbench.benchmark.audit.asking import Examination
from negbench.benchmark.audit.figures import Audited, audit_test
from negbench.benchmark.errors import BenchError, NoDataError, RunFailedError
from negbench.benchmark.evaluation.measures import beyond_labels, known_pairs_of
from negbench.benchmark.evaluation.metrics import CUTOFFS, check_cutoffs
from negbench.benchmark.evaluation.protocols import protocols_for
from negbench.benchmark.models import registry as towers
from negbench.benchmark.models.base import Tower
from negbench.benchmark.recipe import identity
from negbench.benchmark.recipe.params import default_encoder
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.recipe.stages import OWN, is_in_pipeline, stages_of
from negbench.benchmark.results import integrity, records
from negbench.benchmark.results.records import RUNS, RunRecord
from negbench.benchmark.sweeps.recording import Finished, add_audit, commit_record, write_json
from negbench.benchmark.training import checkpoint, devices, disk_space
from negbench.benchmark.training.checkpoint import Checkpoint
from negbench.benchmark.training.extras import Texts
from negbench.benchmark.training.inputs import features_hash, opened
from negbench.benchmark.training.loop import train
from negbench.benchmark.training.watcher import Watcher
from negbench.methods.base import Method
from negbench.pipelines import encoders
from negbench.pipelines.atomic import new_folder, real, whole
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth


def folder_of(config: RunConfig) -> Path:
    """Where a cell's record belongs: where the pipeline of the project would put it, or apart from all that would."""
    if (stage := stages_of([config]).get(config.hash)) is not None:
        return stage[1]
    room = RUNS / config.dataset / OWN if is_in_pipeline(config.dataset) else RUNS / config.dataset
    return room / config.label(default_encoder(config.dataset)) / f"seed-{config.seed}"


def recorded(
    folder: Path, config: RunConfig, manifest: Manifest, store: FeatureStore, replace: bool = False
) -> RunRecord | None:
    """The record in ``folder`` if it is of this very cell; ``BenchError`` if of another one, unless to ``replace``."""
    if not (whole(folder) / "run.json").exists():
        return None
    record = records.read(folder)
    if record.config_hash != config.hash and replace:
        return None
    if record.config_hash != config.hash:
        raise BenchError(
            f"{folder} holds a run with other settings; use --replace to take its place or --out for elsewhere"
        )
    made_from = (record.manifest_hash, record.features_hash, record.code_hash)
    same = made_from == (manifest.hash, features_hash(store, config), code_hash(config))
    if not same or record.status == "failed":
        return None
    if checkpoint.facts_of(checkpoint.place(folder)).get("created") == record.created:  # killed before its audit
        return None
    broken = any(integrity.faults(folder, record))  # cut off or edited: the cell is run again
    return None if broken else record


def code_hash(config: RunConfig) -> str:
    """Digest of the code that decides a cell's numbers: training, method, warm-up, towers, evaluation, all imports."""
    used: list[type] = [methods.get(name) for name in (config.method, config.warmup)]
    used += [towers.get(name) for name in (config.image_tower, config.text_tower)]
    kinds = [kind for each in used for kind in each.__mro__ if issubclass(kind, Method | Tower)]
    return identity.code_of_a_cell({Path(getfile(kind)) for kind in kinds})


def texts_for(method: str, manifest: Manifest, store: FeatureStore) -> Texts | None:
    """What a training of ``method`` needs of the captions' text: nothing, for most."""
    if "words" not in methods.get(method).needs:
        return None
    encoder = encoders.make(store.info["text"]["name"], "text")
    return Texts(manifest.captions["text"].tolist(), encoder.encode)


def run(config: RunConfig, folder: Path, manifest: Manifest, store: FeatureStore, watcher: Watcher) -> RunRecord:
    """Train, evaluate and record a cell; a failed training is recorded too, and then raised.

    A training whose record did not come to stand is not done again: it is kept until then. The audit comes last; where
    it fails the record says so, and stands without it.
    """
    devices.check_cell(config)
    truth = Truth.read(manifest_folder(config.dataset))
    check_galleries(manifest)
    check_outcome(folder, store)
    texts = texts_for(config.method, manifest, store)
    facts = facts_for(config, manifest, store)
    where = checkpoint.place(folder)
    disk_space.check(config, manifest, store, folder, where)
    with checkpoint.named(where):
        done = trained(config, folder, store, truth, texts, Checkpoint(where, facts, watcher.said), facts, watcher)
        record = evaluated(config, done, folder, store, manifest, truth, {**facts, **done.facts})
    checkpoint.forget(where)
    return record


def assist(config: RunConfig, folder: Path, manifest: Manifest, store: FeatureStore) -> None:
    """Train a cell along with the process that runs and records it."""
    facts = facts_for(config, manifest, store)
    truth, texts = Truth.read(manifest_folder(config.dataset)), texts_for(config.method, manifest, store)
    train(config, store, truth, texts=texts, checkpoint=Checkpoint(checkpoint.place(folder), facts))


def evaluated(
    config: RunConfig,
    done: Finished,
    folder: Path,
    store: FeatureStore,
    manifest: Manifest,
    truth: Truth | None,
    facts: dict[str, Any],
) -> RunRecord:
    """Open the test split, this once, and write the record: first without its audit, then with it."""
    task, start = done.trained.task, done.trained.start
    data = opened(store, "test", config, task.towers)
    tested = data.gallery(task.towers)
    beyond = beyond_labels(tested, data.split, manifest, truth, config.matches)
    record = commit_record(folder, done, tested, beyond, facts)

    def audit() -> Audited:
        known_pairs = known_pairs_of(data.split, manifest, truth, config.matches)
        examination = Examination.of(config, tested, task.extras_of.of(data), "test")
        before = data.gallery(start) if start is not None and known_pairs is not None else None
        return audit_test(task.method, examination, known_pairs, before)

    return add_audit(folder, record, done.trained, audit)


def facts_for(config: RunConfig, manifest: Manifest, store: FeatureStore) -> dict[str, Any]:
    """What a record says of a cell before it is trained."""
    counts = manifest.counts()["test"]
    return {
        "method_id": config.method_id,
        "config": config,
        "config_hash": config.hash,
        "recipe_hash": config.recipe_hash,
        "manifest_hash": manifest.hash,
        "features_hash": features_hash(store, config),
        "code_hash": code_hash(config),
        "protocol": protocols_for(config.dataset, counts["images"], counts["captions"])[0],
        "versions": identity.versions(),
        "device": devices.name(config.device),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **identity.commit(),
    }


def trained(
    config: RunConfig,
    folder: Path,
    store: FeatureStore,
    truth: Truth | None,
    texts: Texts | None,
    saved: Checkpoint,
    facts: dict[str, Any],
    watcher: Watcher,
) -> Finished:
    """A training; a failed one is recorded, and raised."""
    start = time.perf_counter()
    try:
        found = train(config, store, truth, watcher, texts, saved)
    except RunFailedError as error:
        with new_folder(folder, records.KIND) as scratch:
            write_json(scratch, RunRecord(status="failed", error=str(error), **facts))
        raise
    seconds = saved.seconds + time.perf_counter() - start
    return Finished(found, saved.facts, seconds, max(saved.peak_mb, devices.peak(config.device)))


def check_galleries(manifest: Manifest) -> None:
    """``NoDataError`` where validation or test split is too small for the recalls."""
    for split in ("val", "test"):
        try:
            check_cutoffs(CUTOFFS, **manifest.counts()[split])
        except ValueError as error:
            raise NoDataError(f"{manifest.name}: the {split} split is too small: {error}") from None


def check_outcome(folder: Path, store: FeatureStore) -> None:
    """What would else be found after the training: ``DataError`` for broken test features, or for a folder that is
    somebody's own, ``OSError`` for one that takes no record."""
    store.check("test")
    records.KIND.check(real(folder))
    there = next(place for place in folder.absolute().parents if place.exists())
    if not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))
