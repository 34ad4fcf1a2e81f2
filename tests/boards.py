"""Records for tests of the leaderboard, and what it makes of them."""

import re
from pathlib import Path
from typing import Any

from commands import Done, bench
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results.leaderboard import load
from negbench.benchmark.results.records import Cost, RunRecord
from negbench.benchmark.results.rows import Group
from recorded import write_record

F8K = Protocol(name="f8k-1k", images=1000, captions=5000)


def record(method: str, seed: int, recall: float, dataset: str = "f8k", **changes: Any) -> RunRecord:
    """A cell whose six recalls are all ``recall``."""
    own = {key: changes.pop(key) for key in list(changes) if key in RunConfig.model_fields}
    cell: dict[str, Any] = {"method": method, "dataset": dataset, "encoder": "effnet", "seed": seed, "memory": 0}
    config = RunConfig(**cell | {"epochs": 10, "momentum": 0.995} | own)
    recalls = {f"{direction}_r{k}": recall for direction in ("i2t", "t2i") for k in (1, 5, 10)}
    values: dict[str, Any] = {
        "status": "done",
        "method_id": config.method_id,
        "config": config,
        "config_hash": config.hash,
        "recipe_hash": config.recipe_hash,
        "manifest_hash": "m1",
        "features_hash": "f1",
        "protocol": F8K,
        "metrics": recalls | {"i2t_medr": 3.0, "i2t_meanr": 9.0, "t2i_medr": 4.0, "t2i_meanr": 9.5, "rsum": 6 * recall},
        "cost": Cost(wall_s=60, step_ms=12, product_ms=8, peak_mb=500),
    }
    return RunRecord(**values | changes)


def save(root: Path, *records: RunRecord) -> Path:
    for number, each in enumerate(records):
        write_record(root / each.dataset / each.method_id / f"{number}", each)
    return root


def board(root: Path) -> list[Group]:
    return load(root).groups


def bench_board(root: Path, *flags: str) -> Done:
    return bench("leaderboard", "--runs", str(root), *flags)


def two_rows(root: Path) -> Path:
    """hardest (30, 32, 34) in batch, fne (40, 41, 42) with memory, a slower step."""
    slow = Cost(wall_s=60, step_ms=30, product_ms=20, peak_mb=500)
    return save(
        root,
        *(record("hardest", seed, 30 + 2 * seed, false_negative_rate={"both": 0.2}) for seed in range(3)),
        *(record("fne", s, 40 + s, memory=4096, cost=slow, false_negative_rate={"both": 0.05}) for s in range(3)),
    )


def a_full_board(root: Path) -> Path:
    """Long names, failed, collapsed, every column, more rows than a page holds, and the literature."""
    audit = {
        f"pushed_{side}{name}": value
        for side in ("i2t", "t2i")
        for name, value in (
            ("", 0.1),
            ("_low", 0.05),
            ("_high", 0.15),
            ("_judged", 1234.0),
            ("_base", 0.05),
            ("_anchors", 2000),
        )
    }
    f30k = Protocol(name="f30k-1k", images=1000, captions=5000)
    metrics = record("fne", 0, 50).metrics | {"true_rsum": 355.5, "eccv_i2t_map_at_r": 30.0, "eccv_t2i_map_at_r": 40.0}
    known: dict[str, Any] = {"dataset": "f30k", "protocol": f30k, "audit": audit, "false_negative_rate": {"both": 0.12}}
    return save(
        root,
        *(record("hardest", seed, 50, metrics=metrics, **known) for seed in range(3)),
        *(record("fne", seed, 50 + seed, metrics=metrics, settings={"tau_fn": 2.0}, **known) for seed in range(3)),
        *(record("momentum-distilled", 0, 40, memory=1000 * k, **known) for k in range(7, 18)),
        *(record("distance-weighted", 0, 40, memory=1000 * k, **known) for k in range(7, 40)),
        *(record("top-k", 0, 4, memory=k, status="collapsed", **known) for k in (100, 200)),
        record(
            "sct",
            0,
            0,
            status="failed",
            error="boom",
            cost=None,
            **known | {"metrics": {}, "audit": {}, "false_negative_rate": {}},
        ),
    )


def lines(text: str) -> dict[str, str]:
    """Method: its line of a Markdown page, without padding."""
    return {row.split("`")[1]: re.sub(" +", " ", row) for row in text.splitlines() if row.startswith("| `")}
