"""A trained cell becomes a record: evaluated and written, then audited; and later audited again, without a training."""

import csv
import hashlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from negbench.benchmark.audit.figures import Audited
from negbench.benchmark.errors import BenchError
from negbench.benchmark.evaluation.gallery import Gallery, Tested
from negbench.benchmark.evaluation.measures import measured, other_protocols
from negbench.benchmark.evaluation.ranks import Ranks
from negbench.benchmark.evaluation.similarities import write_similarities
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results import records
from negbench.benchmark.results.ranks_file import write_ranks
from negbench.benchmark.results.records import Cost, RunRecord
from negbench.benchmark.speed.method_cost import interleaved
from negbench.benchmark.training import devices
from negbench.benchmark.training.checkpoint import weights
from negbench.benchmark.training.loop import Trained, failing
from negbench.pipelines.atomic import new_folder

KEPT = ("history.csv", "ranks.npz", "model.safetensors", "method.safetensors")
"""Files of a record that no audit changes."""


@dataclass(frozen=True)
class Finished:
    """A training, of this process or of an earlier one."""

    trained: Trained
    facts: dict[str, Any]
    seconds: float
    """From the start to the last epoch's end."""
    peak_mb: float


def commit_record(
    folder: Path, done: Finished, tested: Gallery, beyond: dict[str, float], facts: dict[str, Any]
) -> RunRecord:
    """Write the record of a training, all but its audit.

    ``tested``: the test split as the best epoch sees it; ``beyond``: its metrics beyond the labels.
    """
    found, config = done.trained, facts["config"]
    metrics, ranks = measured(tested)
    with new_folder(folder, records.KIND) as scratch:
        record = RunRecord(
            status="collapsed" if found.collapsed else "done",
            metrics=metrics | beyond,
            others=other_protocols(tested, config.dataset),
            ranks_sha256=write_tested(scratch / "ranks.npz", ranks, tested),
            validation=found.validation,
            best_epoch=found.best_epoch,
            false_negative_rate=found.false_negative_rate,
            cost=cost(config, done),
            **facts,
        )
        _write_history(scratch, found)
        write_similarities(scratch / "similarities.npz", found.similarities, found.history, {})
        for name, module in (("model", found.task.towers), ("method", found.task.method)):
            (scratch / f"{name}.safetensors").write_bytes(weights(module))
        write_json(scratch, record)
    return record


def add_audit(folder: Path, record: RunRecord, found: Trained, audit: Callable[[], Audited]) -> RunRecord:
    """The record with its audit, or with the line that says why there is none."""
    arrays: dict[str, Any] = {}
    try:
        with failing("the audit"):
            audited = audit()
        record, arrays = record.model_copy(update={"audit": audited.figures}), audited.arrays
    except BenchError as error:
        record = record.model_copy(update={"error": str(error)})
    with new_folder(folder, records.KIND) as scratch:
        _keep(folder, scratch)
        write_similarities(scratch / "similarities.npz", found.similarities, found.history, arrays)
        write_json(scratch, record)
    return record


def replace_audit(folder: Path, record: RunRecord, arrays: dict[str, Any]) -> None:
    """A record with what it says by now; of ``similarities.npz`` what is of the test split is new."""
    with np.load(io.BytesIO(records.content(folder, record, "similarities.npz")), allow_pickle=False) as before:
        kept = {name: before[name] for name in before.files if not name.startswith(("test_", "calibration_"))}
    with new_folder(folder, records.KIND) as scratch:
        _keep(folder, scratch)
        with (scratch / "similarities.npz").open("wb") as file:
            np.savez_compressed(file, **kept, **arrays)
        write_json(scratch, record)


def _keep(folder: Path, scratch: Path) -> None:
    for name in KEPT:
        shutil.copyfile(folder / name, scratch / name)


def write_json(folder: Path, record: RunRecord) -> None:
    """Write ``run.json``, the last of a record's files: it holds the digests of all others."""
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    record = record.model_copy(update={"files": files, "schema_version": records.SCHEMA_VERSION})
    (folder / "run.json").write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def write_tested(path: Path, ranks: Ranks, tested: Tested) -> str:
    """``write_ranks`` of what was measured."""
    owners = tested.caption_image.tolist()
    return write_ranks(
        path,
        ranks,
        i2t_ids=[tested.image_ids[row] for row in sorted(set(owners))],
        t2i_ids=tested.caption_ids,
        t2i_images=[tested.image_ids[row] for row in owners],
    )


def _write_history(folder: Path, trained: Trained) -> None:
    """A row per epoch; the warm-up lacks what only the method reports."""
    columns = list(dict.fromkeys(name for row in trained.history for name in row))
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(trained.history)


def cost(config: RunConfig, done: Finished) -> Cost:
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
        peak_mb=max(done.peak_mb, devices.peak(config.device)),
        cpu_share=done.trained.cpu_share,
    )
