"""A cell from configuration to record: features, training, one look at the test split, the record on disk."""

import csv
import hashlib
import importlib.metadata
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from inspect import getfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

import methods
from benchmark import devices, records
from benchmark.config import RunConfig
from benchmark.errors import BenchError, RunFailedError
from benchmark.evaluation.metrics import write_ranks
from benchmark.evaluation.protocols import protocol_for
from benchmark.evaluation.true_recall import true_ranks, true_recall
from benchmark.extras import texts_for
from benchmark.records import RUNS, Cost, RunRecord
from benchmark.resolve import default_encoder
from benchmark.speed import interleaved
from benchmark.training import SplitTensors, Trained, Watcher, evaluate, train
from methods.registry import files_of
from pipelines.atomic import new_folder
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
    return record if same and record.status != "failed" else None


def run(config: RunConfig, folder: Path, manifest: Manifest, store: FeatureStore, watcher: Watcher) -> RunRecord:
    """Train, evaluate and record a cell; a failed training is recorded too, and then raised."""
    devices.check(config.device)
    start = time.perf_counter()
    truth = Truth.read(manifest_folder(config.dataset))
    counts = manifest.counts()["test"]
    facts: dict[str, Any] = {
        "method_id": config.method_id,
        "config": config,
        "config_hash": config.hash,
        "recipe_hash": config.recipe_hash,
        "manifest_hash": manifest.hash,
        "features_hash": store.hash,
        "code_hash": code_hash(config),
        "protocol": protocol_for(config.dataset, counts["images"], counts["captions"]),
        "versions": versions(),
        "device": devices.name(config.device),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **commit(),
    }
    try:
        trained = train(config, store, truth, watcher, texts_for(config.method, manifest, store))
    except RunFailedError as error:
        with new_folder(folder) as scratch:
            write_json(scratch, RunRecord(status="failed", error=str(error), **facts))
        raise
    with new_folder(folder) as scratch:
        metrics = test(trained, store, config.device, scratch, truth)
        record = RunRecord(
            status="collapsed" if trained.collapsed else "done",
            metrics=metrics,
            validation=trained.validation,
            best_epoch=trained.best_epoch,
            false_negative_rate=trained.false_negative_rate,
            cost=cost(config, trained, time.perf_counter() - start),
            **facts,
        )
        write_json(scratch, record)
        write_history(scratch, trained)
        weights = {name: value.cpu().contiguous() for name, value in trained.model.state_dict().items()}
        (scratch / "model.safetensors").write_bytes(save(weights))  # a full disk is an OSError, as everywhere
    return record


def test(trained: Trained, store: FeatureStore, device: str, folder: Path, truth: Truth | None) -> dict[str, float]:
    """Open the test split, this once; writes ``ranks.npz`` and returns the metrics, the true recalls where known."""
    split = store.split("test")
    tensors = SplitTensors(split, device)
    metrics, ranks = evaluate(trained.model, tensors)
    if truth is not None:
        features = tensors.encode(trained.model)
        metrics |= true_recall(
            true_ranks(*features, tensors.caption_image, split.image_rows, split.caption_rows, truth)
        )
    with_captions = sorted(set(split.caption_image.tolist()))
    write_ranks(folder / "ranks.npz", ranks, [split.image_ids[row] for row in with_captions], split.caption_ids)
    return metrics


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
    if config.device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
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
    files = files_of(methods.get(config.method)) | files_of(methods.get(config.warmup)) | {Path(getfile(Truth))}
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
