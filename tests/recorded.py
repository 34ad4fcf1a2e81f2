"""Records for tests, as a run would leave them: their ranks give their recalls."""

import json
from pathlib import Path

import torch

from negbench.benchmark.evaluation.metrics import metrics as measured
from negbench.benchmark.evaluation.ranks import Ranks
from negbench.benchmark.results.plausibility import EXTENDED, RECALLS, WAYS
from negbench.benchmark.results.ranks_file import write_ranks
from negbench.benchmark.results.records import RunRecord
from negbench.pipelines.files import digest

PRECISIONS = {"r_precision": 50.0, "map_at_r": 10.0}


def write_record(folder: Path, record: RunRecord) -> RunRecord:
    """Write ``run.json`` and, unless the cell failed, ``ranks.npz``; the record with what follows from the ranks.

    All six recalls are ``i2t_r1`` of the record, or a sixth of its rSum: the first queries are at 1, all others at 100.
    """
    folder.mkdir(parents=True)
    if record.status != "failed":
        images, captions = record.protocol.images, record.protocol.captions
        recall = record.metrics.get("i2t_r1", record.metrics.get("rsum", 0) / 6) / 100
        ranks = Ranks(*(torch.where(torch.arange(size) < size * recall, 1.0, 100.0) for size in (images, captions)))
        owners = [f"im{k * images // captions}" for k in range(captions)]
        names = [f"im{k}" for k in range(images)], [f"c{k}" for k in range(captions)]
        sha256 = write_ranks(folder / "ranks.npz", ranks, *names, owners)
        record = completed(
            record.model_copy(update={"ranks_sha256": sha256, "metrics": record.metrics | measured(ranks)})
        )
    made_from = {key: digest(getattr(record, key)) for key in ("manifest_hash", "features_hash")}
    record = record.model_copy(update=made_from)
    (folder / "run.json").write_text(record.model_dump_json(exclude={"files"}))  # as one that is older than this key
    return record


def completed(record: RunRecord) -> RunRecord:
    """The record with whole sets of figures, where a test names those alone that it is about."""
    metrics, audit, rates = dict(record.metrics), dict(record.audit), dict(record.false_negative_rate)
    for kind in {match[1] for match in map(EXTENDED.fullmatch, metrics) if match}:
        recall = metrics.get(f"{kind}_rsum", 300.0) / 6
        other = {f"{kind}_{way}_{name}": value for way in WAYS for name, value in PRECISIONS.items()}
        metrics = dict.fromkeys((f"{kind}_{name}" for name in RECALLS), recall) | other | metrics
        metrics[f"{kind}_rsum"] = sum(metrics[f"{kind}_{name}"] for name in RECALLS)
    audit = {f"{key[:-7]}_all": value for key, value in audit.items() if key.endswith("_judged")} | audit
    if "both" in rates:
        rates = dict.fromkeys(WAYS, rates["both"]) | rates
    return record.model_copy(update={"metrics": metrics, "audit": audit, "false_negative_rate": rates})


def forget_truth(folder: Path) -> None:
    """Let a manifest's truth be unknown."""
    (folder / "truth.npz").unlink()
    info = json.loads((folder / "dataset.json").read_text())
    del info["truth"]
    (folder / "dataset.json").write_text(json.dumps(info))
