"""Records for tests, as a run would leave them: their ranks give their recalls."""

import json
from pathlib import Path

import torch

from benchmark.evaluation.metrics import metrics
from benchmark.evaluation.ranks import Ranks
from benchmark.evaluation.stored_ranks import write_ranks
from benchmark.records import RunRecord


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
        record = record.model_copy(update={"ranks_sha256": sha256, "metrics": record.metrics | metrics(ranks)})
    (folder / "run.json").write_text(record.model_dump_json())
    return record


def forget_truth(folder: Path) -> None:
    """Let a manifest's truth be unknown."""
    (folder / "truth.npz").unlink()
    info = json.loads((folder / "dataset.json").read_text())
    del info["truth"]
    (folder / "dataset.json").write_text(json.dumps(info))
