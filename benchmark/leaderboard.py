"""The leaderboard, from run records alone: which cells may stand in one table, and their means over seeds.

Only cells with the same dataset, protocol, manifest, features and recipe share a table. A row of it is a method
under one memory. Reads JSON only: importing this needs neither torch nor pandas nor numpy.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.config import RunConfig
from benchmark.errors import NoDataError
from benchmark.records import RUNS, Protocol, RunRecord, find

RECALLS = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10")
RANKS = ("i2t_medr", "i2t_meanr", "t2i_medr", "t2i_meanr")
COST = ("step_ms", "step_ratio")
TRUE = "true_rsum"
FALSE_NEGATIVES = "false_negative_percent"
VALUES = (*RECALLS, *RANKS, "rsum", TRUE, FALSE_NEGATIVES, *COST)
HIGHEST_IS_BEST = {*RECALLS, "rsum", TRUE}
OF_A_CELL = {"method", "settings", "seed", "memory", "momentum"}
"""Settings in which the cells of one table may differ."""


@dataclass(frozen=True)
class Stat:
    """Mean over seeds and sample standard deviation (None for one seed)."""

    mean: float
    std: float | None


@dataclass(frozen=True)
class Row:
    """A method under one memory."""

    method: str
    memory: int
    momentum: float | None
    """None in the batch, where it has no effect."""
    seeds: tuple[int, ...]
    failed: int
    collapsed: int
    warmup: int
    """Seeds whose best epoch was one of the warm-up: the method itself only made it worse."""
    stats: dict[str, Stat]
    """Of ``VALUES``. A value that any seed lacks has no mean; a row with a failed seed has none at all."""


@dataclass(frozen=True)
class Group:
    """A table: cells that may be compared."""

    dataset: str
    protocol: Protocol
    manifest_hash: str
    features_hash: str
    recipe_hash: str
    recipe: dict[str, Any]
    rows: list[Row]
    """By mean rSum, the highest first; rows without one last."""
    repeated: int
    """Records that a newer record of the same cell replaced."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds of all rows."""
        return tuple(sorted({seed for row in self.rows for seed in row.seeds}))

    def is_best(self, row: Row, value: str) -> bool:
        """Whether no other row shows a better mean (one decimal); False where there is nothing to compare."""
        means = [round(other.stats[value].mean, 1) for other in self.rows if value in other.stats]
        if value not in row.stats or len(means) < 2:
            return False
        return round(row.stats[value].mean, 1) == (max(means) if value in HIGHEST_IS_BEST else min(means))


def load(root: Path = RUNS, dataset: str | None = None) -> list[Group]:
    """All tables of the records below ``root``, by dataset; ``NoDataError`` where there is no record."""
    records = [record for _, record in find(root)]
    chosen = [record for record in records if dataset in (None, record.config.dataset)]
    if not chosen:
        others = ", ".join(sorted({record.config.dataset for record in records}))
        what = f" of '{dataset}'" if dataset else ""
        where = f"{root} (it has: {others})" if others else f"{root}"
        raise NoDataError(
            f"no records{what} in {where}; make some with: bench run --method hardest --dataset {dataset or 'scenes'}"
        )
    return build(chosen)


def build(records: Iterable[RunRecord]) -> list[Group]:
    """Sort records into tables and rows."""
    tables: dict[tuple[Any, ...], list[RunRecord]] = defaultdict(list)
    for record in records:
        tables[table_of(record)].append(record)
    return [_group(tables[key]) for key in sorted(tables)]


def table_of(record: RunRecord) -> tuple[Any, ...]:
    """What must be the same of all records in one table."""
    key = (record.config.dataset, *record.protocol.model_dump().values())
    return (*key, record.manifest_hash, record.features_hash, record.recipe_hash)


def row_of(record: RunRecord) -> tuple[str, int, float | None]:
    """What the records of one row have in common, all but the seed: method, memory and momentum."""
    return record.method_id, record.config.memory, _momentum(record.config)


def _group(records: list[RunRecord]) -> Group:
    rows: dict[tuple[str, int, float | None], dict[int, RunRecord]] = defaultdict(dict)
    for record in sorted(records, key=lambda record: record.created):
        rows[row_of(record)][record.config.seed] = record
    first = records[0]
    return Group(
        dataset=first.config.dataset,
        protocol=first.protocol,
        manifest_hash=first.manifest_hash,
        features_hash=first.features_hash,
        recipe_hash=first.recipe_hash,
        recipe=first.config.model_dump(exclude=OF_A_CELL),
        rows=sorted((_row(list(seeds.values())) for seeds in rows.values()), key=_order),
        repeated=len(records) - sum(map(len, rows.values())),
    )


def _row(records: list[RunRecord]) -> Row:
    config = records[0].config
    failed = sum(record.status == "failed" for record in records)
    return Row(
        method=records[0].method_id,
        memory=config.memory,
        momentum=_momentum(config),
        seeds=tuple(sorted(record.config.seed for record in records)),
        failed=failed,
        collapsed=sum(record.status == "collapsed" for record in records),
        warmup=sum(_is_warmup(record) for record in records),
        stats={} if failed else dict(_stats([_values(record) for record in records])),
    )


def _is_warmup(record: RunRecord) -> bool:
    return record.best_epoch is not None and record.best_epoch < record.config.warmup_epochs


def _momentum(config: RunConfig) -> float | None:
    return config.momentum if config.memory else None


def _order(row: Row) -> tuple[float, str, int]:
    return -row.stats["rsum"].mean if "rsum" in row.stats else math.inf, row.method, row.memory


def _values(record: RunRecord) -> dict[str, float]:
    """The finite ones of ``VALUES`` that the record has."""
    values = {key: record.metrics[key] for key in VALUES if key in record.metrics}
    if "both" in record.false_negative_rate:
        values[FALSE_NEGATIVES] = 100 * record.false_negative_rate["both"]
    if record.cost is not None:
        values["step_ms"] = record.cost.step_ms
        if record.cost.product_ms > 0:
            values["step_ratio"] = record.cost.ratio
    return {key: value for key, value in values.items() if math.isfinite(value)}


def _stats(seeds: list[dict[str, float]]) -> Iterator[tuple[str, Stat]]:
    for key in VALUES:
        values = [seed[key] for seed in seeds if key in seed]
        if len(values) == len(seeds):
            yield key, stat(values)


def stat(values: Sequence[float]) -> Stat:
    """Mean and sample standard deviation of one value per seed."""
    return Stat(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def differences(groups: list[Group]) -> dict[str, list[Any]]:
    """In what the tables of one dataset differ: the name of the setting and its value in each of them."""
    facts = [
        {"protocol": describe(group.protocol), "manifest": group.manifest_hash, "features": group.features_hash}
        | group.recipe
        for group in groups
    ]
    keys = dict.fromkeys(key for fact in facts for key in fact)
    found = {key: [fact.get(key) for fact in facts] for key in keys}
    found = {key: values for key, values in found.items() if any(value != values[0] for value in values)}
    if "encoder" in found or "manifest" in found:
        found.pop("features", None)  # they differ of course
    return found


def describe(protocol: Protocol) -> str:
    """The protocol's name with its gallery sizes."""
    return f"{protocol.name} ({protocol.images:,} images, {protocol.captions:,} captions)"


def flat(groups: list[Group]) -> list[dict[str, Any]]:
    """One dictionary per row of every table, plain numbers, None where there is none: for CSV and JSON."""
    return [
        {
            "dataset": group.dataset,
            "protocol": group.protocol.name,
            "images": group.protocol.images,
            "captions": group.protocol.captions,
            "manifest_hash": group.manifest_hash,
            "features_hash": group.features_hash,
            "recipe_hash": group.recipe_hash,
            "encoder": group.recipe["encoder"],
            "epochs": group.recipe["epochs"],
            "batch": group.recipe["batch"],
            "method": row.method,
            "memory": row.memory,
            "momentum": row.momentum,
            "n": len(row.seeds),
            "failed": row.failed,
            "collapsed": row.collapsed,
            "warmup": row.warmup,
            "seeds": list(row.seeds),
        }
        | {
            f"{key}_{part}": getattr(row.stats[key], part) if key in row.stats else None
            for key in VALUES
            for part in ("mean", "std")
        }
        for group in groups
        for row in group.rows
    ]
