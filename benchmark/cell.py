"""A cell from configuration to record: features, training, one look at the test split, the record on disk."""

import csv
import errno
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from inspect import getfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save

import methods
from benchmark import devices, records
from benchmark.config import RunConfig
from benchmark.errors import BenchError, NoDataError, RunFailedError
from benchmark.evaluation.after_training import audit_test
from benchmark.evaluation.extended import extended_metrics, positions
from benchmark.evaluation.metrics import CUTOFFS, check_cutoffs
from benchmark.evaluation.positives import positives_of
from benchmark.evaluation.protocols import measure, protocols_for
from benchmark.evaluation.relation import Judged
from benchmark.evaluation.similarities import write_similarities
from benchmark.evaluation.stored_ranks import read_ranks, write_ranks
from benchmark.extras import texts_for
from benchmark.peak import peak_mb
from benchmark.records import RUNS, Cost, Measured, Protocol, RunRecord
from benchmark.resolve import default_encoder
from benchmark.speed import interleaved
from benchmark.training import Trained, Watcher, evaluate, exact, failing, opened, train
from methods.registry import files_of
from pipelines.atomic import new_folder
from pipelines.captions import same
from pipelines.judgements import verdicts
from pipelines.manifest import Manifest
from pipelines.sources import manifest_folder
from pipelines.store import FeatureStore
from pipelines.truth import Truth

CODE = ("benchmark", "methods", "pipelines")
PACKAGES = ("negbench", "torch", "numpy", "pandas")


def folder_of(config: RunConfig) -> Path:
    """Where a cell's record belongs."""
    return RUNS / config.dataset / config.label(default_encoder(config.dataset)) / f"seed-{config.seed}"


def recorded(folder: Path, config: RunConfig, manifest: Manifest, store: FeatureStore) -> RunRecord | None:
    """The record in ``folder`` if it is of this very cell; ``BenchError`` if it is of another one."""
    if not (folder / "run.json").exists():
        return None
    record = records.read(folder)
    if record.config_hash != config.hash:
        raise BenchError(f"{folder} holds a run with other settings; use --force to replace it or --out for elsewhere")
    made_from = (record.manifest_hash, record.features_hash, record.code_hash)
    same = made_from == (manifest.hash, store.hash, code_hash(config))
    if not same or record.status == "failed":
        return None
    try:
        read_ranks(folder / "ranks.npz", record.ranks_sha256)
    except NoDataError:  # cut off or edited: the cell is run again
        return None
    return record


def run(config: RunConfig, folder: Path, manifest: Manifest, store: FeatureStore, watcher: Watcher) -> RunRecord:
    """Train, evaluate and record a cell; a failed training is recorded too, and then raised."""
    devices.check_cell(config)
    start = time.perf_counter()
    truth = Truth.read(manifest_folder(config.dataset))
    check_galleries(manifest)
    check_outcome(folder, store)
    counts = manifest.counts()["test"]
    protocols = protocols_for(config.dataset, counts["images"], counts["captions"])
    facts: dict[str, Any] = {
        "method_id": config.method_id,
        "config": config,
        "config_hash": config.hash,
        "recipe_hash": config.recipe_hash,
        "manifest_hash": manifest.hash,
        "features_hash": store.hash,
        "code_hash": code_hash(config),
        "protocol": protocols[0],
        "versions": versions(),
        "device": devices.name(config.device),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **commit(),
    }
    try:
        trained = train(config, store, truth, watcher, texts_for(config.method, manifest, store))
    except RunFailedError as error:
        with new_folder(folder, records.KIND) as scratch:
            write_json(scratch, RunRecord(status="failed", error=str(error), **facts))
        raise
    with new_folder(folder, records.KIND) as scratch:
        tested = test(config, trained, store, manifest, scratch, truth, protocols[1:])
        record = RunRecord(
            status="collapsed" if trained.collapsed else "done",
            metrics=tested.metrics,
            others=tested.others,
            audit=tested.audit,
            ranks_sha256=tested.ranks_sha256,
            validation=trained.validation,
            best_epoch=trained.best_epoch,
            false_negative_rate=trained.false_negative_rate,
            cost=cost(config, trained, time.perf_counter() - start),
            **facts,
        )
        write_json(scratch, record)
        write_history(scratch, trained)
        for name, module in (("model", trained.model), ("method", trained.method)):
            state = {key: value.cpu().contiguous() for key, value in module.state_dict().items()}
            (scratch / f"{name}.safetensors").write_bytes(save(state))  # a full disk is an OSError, as everywhere
    return record


def check_galleries(manifest: Manifest) -> None:
    """``NoDataError`` where validation or test split is too small for the recalls."""
    for split in ("val", "test"):
        try:
            check_cutoffs(CUTOFFS, **manifest.counts()[split])
        except ValueError as error:
            raise NoDataError(f"{manifest.name}: the {split} split is too small: {error}") from None


def check_outcome(folder: Path, store: FeatureStore) -> None:
    """What would else be found after the training: ``DataError`` for broken test features, ``OSError`` for a folder
    that takes no record."""
    store.check("test")
    there = next(place for place in folder.absolute().parents if place.exists())
    if not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


class Tested(NamedTuple):
    """What the test split said."""

    metrics: dict[str, float]
    others: tuple[Measured, ...]
    """Of the other protocols of the dataset."""
    audit: dict[str, float]
    ranks_sha256: str
    """Of ``ranks.npz``."""


def test(
    config: RunConfig,
    trained: Trained,
    store: FeatureStore,
    manifest: Manifest,
    folder: Path,
    truth: Truth | None,
    others: tuple[Protocol, ...],
) -> Tested:
    """Open the test split, this once; writes ``ranks.npz`` and ``similarities.npz``."""
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
    measured = tuple(measure(other, images, captions, tensors.caption_image) for other in others)
    judged = Judged.of(manifest.judgements, split.image_ids, split.caption_ids, matches)
    with failing("the audit"):
        audited = audit_test(config, trained, tensors, exact(tensors, truth) or judged)
    write_similarities(folder / "similarities.npz", trained.similarities, trained.history, audited.arrays)
    return Tested(metrics, measured, audited.figures, sha256)


def write_json(folder: Path, record: RunRecord) -> None:
    (folder / "run.json").write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def write_history(folder: Path, trained: Trained) -> None:
    """A row per epoch; the warm-up lacks what only the method reports."""
    columns = list(dict.fromkeys(name for row in trained.history for name in row))
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(trained.history)


def cost(config: RunConfig, trained: Trained, wall_s: float) -> Cost:
    """Time and memory of a cell, and of the two bare similarity products of one of its steps."""
    anchors = torch.randn(config.batch, config.dim, device=config.device)
    candidates = torch.randn(config.batch + config.memory, config.dim, device=config.device)

    def products() -> None:
        torch.matmul(anchors, candidates.T)
        torch.matmul(anchors, candidates.T)

    times = interleaved({"product": products}, config.device)
    peak = torch.cuda.max_memory_allocated() / 2**20 if config.device.startswith("cuda") else peak_mb()
    return Cost(wall_s=wall_s, step_ms=trained.step_ms, product_ms=times["product"], peak_mb=peak)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "source"
    return found


def code_hash(config: RunConfig) -> str:
    """Digest of the source files that decide a cell's numbers."""
    package = Path(__file__).parent
    files = (
        files_of(methods.get(config.method))
        | files_of(methods.get(config.warmup))
        | {Path(getfile(part)) for part in (Truth, verdicts, same)}
    )
    files |= {package / "training.py", package / "memory.py", package / "seeds.py", package / "extras.py"}
    files |= {*package.glob("models/*.py"), *package.glob("evaluation/*.py")}
    digest = hashlib.blake2b(digest_size=8)
    for content in sorted(file.read_bytes() for file in files):  # an order that no path and no hash seed decides
        digest.update(content)
    return digest.hexdigest()


def commit() -> dict[str, Any]:
    """The commit of the code and whether the three packages differ from it; nothing outside a repository."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parents[1]), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", *CODE))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
