"""A cell from configuration to record: features, training, one look at the test split, the record on disk."""

import csv
import errno
import hashlib
import os
import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime
from inspect import getfile
from pathlib import Path
from typing import Any, NamedTuple

import torch

from negbench import methods
from negbench.benchmark.audit.cell import audit_test
from negbench.benchmark.errors import BenchError, NoDataError, RunFailedError
from negbench.benchmark.evaluation.extended import extended_metrics, positions
from negbench.benchmark.evaluation.known_pairs import Judged
from negbench.benchmark.evaluation.metrics import CUTOFFS, check_cutoffs
from negbench.benchmark.evaluation.positives import positives_of
from negbench.benchmark.evaluation.protocols import measure, protocols_for
from negbench.benchmark.evaluation.similarities import write_similarities
from negbench.benchmark.recipe import identity
from negbench.benchmark.recipe.flags import default_encoder
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results import integrity, records
from negbench.benchmark.results.ranks_file import write_ranks
from negbench.benchmark.results.records import RUNS, Cost, Measured, RunRecord
from negbench.benchmark.speed.method_cost import interleaved
from negbench.benchmark.speed.peak_memory import peak_mb
from negbench.benchmark.training import checkpoint, devices, disk_space
from negbench.benchmark.training.checkpoint import Kept
from negbench.benchmark.training.extras import Texts, texts_for
from negbench.benchmark.training.loop import SplitTensors, Trained, Watcher, evaluate, exact, failing, opened, train
from negbench.methods.base import Method
from negbench.pipelines.atomic import new_folder, real, whole
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth


def folder_of(config: RunConfig) -> Path:
    """Where a cell's record belongs."""
    return RUNS / config.dataset / config.label(default_encoder(config.dataset)) / f"seed-{config.seed}"


def recorded(folder: Path, config: RunConfig, manifest: Manifest, store: FeatureStore) -> RunRecord | None:
    """The record in ``folder`` if it is of this very cell; ``BenchError`` if it is of another one."""
    if not (whole(folder) / "run.json").exists():
        return None
    record = records.read(folder)
    if record.config_hash != config.hash:
        raise BenchError(f"{folder} holds a run with other settings; use --force to replace it or --out for elsewhere")
    made_from = (record.manifest_hash, record.features_hash, record.code_hash)
    same = made_from == (manifest.hash, store.hash, code_hash(config))
    if not same or record.status == "failed":
        return None
    if checkpoint.facts_of(checkpoint.place(folder)).get("created") == record.created:  # killed before its audit
        return None
    broken = any(integrity.faults(folder, record))  # cut off or edited: the cell is run again
    return None if broken else record


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
    done = checkpoint.restore(where, facts, config, store, truth, texts)
    if done is None:
        disk_space.check(config, manifest, store, folder, where)
        done = trained(config, folder, store, truth, texts, facts, watcher)
        with suppress(OSError, DataError):  # no room: the record itself may find some
            checkpoint.keep(where, done)
    with checkpoint.named(where):
        record, tested = commit_record(config, done, folder, store, manifest, truth, {**facts, **done.facts})
        record = add_audit(config, done.trained, folder, record, tested, truth)
    checkpoint.forget(where)
    return record


def facts_for(config: RunConfig, manifest: Manifest, store: FeatureStore) -> dict[str, Any]:
    """What a record says of a cell before it is trained."""
    counts = manifest.counts()["test"]
    return {
        "method_id": config.method_id,
        "config": config,
        "config_hash": config.hash,
        "recipe_hash": config.recipe_hash,
        "manifest_hash": manifest.hash,
        "features_hash": store.hash,
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
    facts: dict[str, Any],
    watcher: Watcher,
) -> Kept:
    """A training; a failed one is recorded, and raised."""
    start = time.perf_counter()
    try:
        found = train(config, store, truth, watcher, texts)
    except RunFailedError as error:
        with new_folder(folder, records.KIND) as scratch:
            write_json(scratch, RunRecord(status="failed", error=str(error), **facts))
        raise
    return Kept(found, facts, time.perf_counter() - start, peak(config))


def commit_record(
    config: RunConfig,
    done: Kept,
    folder: Path,
    store: FeatureStore,
    manifest: Manifest,
    truth: Truth | None,
    facts: dict[str, Any],
) -> tuple[RunRecord, "Tested"]:
    """Evaluate, and write the record, all but its audit."""
    found = done.trained
    with new_folder(folder, records.KIND) as scratch:
        tested = test(config, found, store, manifest, scratch, truth)
        record = RunRecord(
            status="collapsed" if found.collapsed else "done",
            metrics=tested.metrics,
            others=tested.others,
            ranks_sha256=tested.ranks_sha256,
            validation=found.validation,
            best_epoch=found.best_epoch,
            false_negative_rate=found.false_negative_rate,
            cost=cost(config, done),
            **facts,
        )
        write_history(scratch, found)
        write_similarities(scratch / "similarities.npz", found.similarities, found.history, {})
        for name, module in (("model", found.model), ("method", found.method)):
            (scratch / f"{name}.safetensors").write_bytes(checkpoint.weights(module))
        write_json(scratch, record)
    return record, tested


def add_audit(
    config: RunConfig, found: Trained, folder: Path, record: RunRecord, tested: "Tested", truth: Truth | None
) -> RunRecord:
    """The record with its audit, or with the line that says why there is none."""
    arrays: dict[str, Any] = {}
    try:
        with failing("the audit"):
            audited = audit_test(config, found, tested.tensors, exact(tested.tensors, truth) or tested.judged)
        record, arrays = record.model_copy(update={"audit": audited.figures}), audited.arrays
    except BenchError as error:
        record = record.model_copy(update={"error": str(error)})
    with new_folder(folder, records.KIND) as scratch:
        for name in ("history.csv", "ranks.npz", "model.safetensors", "method.safetensors"):
            shutil.copyfile(folder / name, scratch / name)
        write_similarities(scratch / "similarities.npz", found.similarities, found.history, arrays)
        write_json(scratch, record)
    return record


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


class Tested(NamedTuple):
    """What the test split said."""

    metrics: dict[str, float]
    others: tuple[Measured, ...]
    """Of the other protocols of the dataset."""
    ranks_sha256: str
    """Of ``ranks.npz``."""
    tensors: SplitTensors
    """The split itself, for the audit."""
    judged: Judged | None
    """What is judged of its pairs."""


def test(
    config: RunConfig, trained: Trained, store: FeatureStore, manifest: Manifest, folder: Path, truth: Truth | None
) -> Tested:
    """Open the test split, this once; writes ``ranks.npz``."""
    tensors = opened(store, "test", config)
    split = tensors.split
    metrics, ranks = evaluate(trained.model, tensors)
    images, captions = tensors.encode(trained.model)
    matches = {"expert": config.expert_match, "crowd": config.crowd_match}
    for name, positives in positives_of(manifest, split, truth, matches).items():
        found = positions(images, captions, positives)
        metrics |= extended_metrics(name, *found, len(images), len(captions))
    with_captions = sorted(set(split.caption_image.tolist()))
    sha256 = write_ranks(
        folder / "ranks.npz",
        ranks,
        i2t_ids=[split.image_ids[row] for row in with_captions],
        t2i_ids=split.caption_ids,
        t2i_images=[split.image_ids[row] for row in split.caption_image.tolist()],
    )
    others = protocols_for(config.dataset, len(split.image_ids), len(split.caption_ids))[1:]
    measured = tuple(measure(other, images, captions, tensors.caption_image) for other in others)
    judged = Judged.of(manifest.judgements, split.image_ids, split.caption_ids, matches)
    return Tested(metrics, measured, sha256, tensors, judged)


def write_json(folder: Path, record: RunRecord) -> None:
    """Write ``run.json``, the last of a record's files: it holds the digests of all others."""
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    record = record.model_copy(update={"files": files})
    (folder / "run.json").write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def write_history(folder: Path, trained: Trained) -> None:
    """A row per epoch; the warm-up lacks what only the method reports."""
    columns = list(dict.fromkeys(name for row in trained.history for name in row))
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(trained.history)


def cost(config: RunConfig, done: Kept) -> Cost:
    """Time and memory of a cell, and of the two bare similarity products of one of its steps."""
    anchors = torch.randn(config.batch, config.dim, device=config.device)
    candidates = torch.randn(config.batch + config.memory, config.dim, device=config.device)

    def products() -> None:
        torch.matmul(anchors, candidates.T)
        torch.matmul(anchors, candidates.T)

    times = interleaved({"product": products}, config.device)
    return Cost(
        wall_s=done.seconds,
        step_ms=done.trained.step_ms,
        product_ms=times["product"],
        peak_mb=max(done.peak_mb, peak(config)),
    )


def peak(config: RunConfig) -> float:
    """Peak memory so far, of the device or of the process, in MiB."""
    return torch.cuda.max_memory_allocated() / 2**20 if config.device.startswith("cuda") else peak_mb()


def code_hash(config: RunConfig) -> str:
    """Digest of the code that decides a cell's numbers: the training, its method, the warm-up, what these import."""
    kinds = [kind for name in (config.method, config.warmup) for kind in methods.get(name).__mro__]
    classes = {Path(getfile(kind)) for kind in kinds if issubclass(kind, Method)}
    return identity.code_digest({Path(getfile(train)), Path(getfile(measure)), Path(getfile(audit_test)), *classes})
