"""Which records may be believed: what a record says must follow from what lies beside it.

The recalls follow from the ranks, the hashes from the recipe, the id from the method; names are names and numbers lie
where such numbers can lie. A record that says something else is left out of every table, with its reason.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark import records
from benchmark.errors import NoDataError
from benchmark.records import AGAIN, RUNS, RecordError, RunRecord

if TYPE_CHECKING:
    from benchmark.evaluation.stored_ranks import StoredRanks

TOLERANCE = 1e-6
"""Relative: the same ranks give the same numbers but for the order of their sums."""
LONGEST = 300
"""Characters of a method's id with its settings."""
BOUNDS = (
    (re.compile(r"(.*_)?rsum"), 0.0, 600.0),
    (re.compile(r"(.*_)?(r\d+|mr|r_precision|map_at_r)"), 0.0, 100.0),
    (re.compile(r"(.*_)?(medr|meanr)"), 1.0, math.inf),
    (re.compile(r".*similarity"), -1.001, 1.001),
)
"""What the name of a metric says of where it lies."""


def read(folder: Path) -> RunRecord:
    """Read one record; ``RecordError`` names the file and what is wrong with it."""
    record = records.read(folder)
    if fault := next(faults(folder, record), ""):
        raise RecordError(folder / "run.json", fault)
    return record


def survey(root: Path = RUNS) -> tuple[list[tuple[Path, RunRecord]], list[tuple[Path, str]]]:
    """All records below ``root``, in the order of their paths, and folders that are left out: why."""
    folders, refused = records.folders(root)
    found = []
    for folder in folders:
        try:
            found.append((folder, read(folder)))
        except RecordError as error:
            refused.append((folder, error.reason))
    return found, sorted(refused)


def faults(folder: Path, record: RunRecord) -> Iterator[str]:
    """What cannot be so, each in a few words."""
    yield from _names(record)
    yield from _recipe(record)
    yield from _numbers(record)
    if record.status == "failed":
        if record.metrics or record.others:
            yield "status: failed, but it has metrics"
        return
    from benchmark.evaluation.stored_ranks import read_ranks  # here: numpy is not loaded where there is no record

    try:
        stored = read_ranks(folder / "ranks.npz", record.ranks_sha256)
    except NoDataError as error:
        yield str(error).removeprefix(f"{folder}/").removesuffix(f"; {AGAIN}")
        return
    yield from _ranks(record, stored)


def _names(record: RunRecord) -> Iterator[str]:
    for key, text in (
        ("method_id", record.method_id),
        ("protocol", record.protocol.name),
        ("warmup", record.config.warmup),
    ):
        if not text.strip() or not text.isprintable() or len(text) > LONGEST:
            yield f"{key}: empty, too long, or with characters that cannot be shown"


def _recipe(record: RunRecord) -> Iterator[str]:
    """Digests and id follow from the configuration."""
    for key in ("method_id", "config_hash", "recipe_hash"):
        expected = getattr(record.config, key.replace("config_hash", "hash"))
        if getattr(record, key) != expected:
            yield f"{key}: {getattr(record, key)!r:.60}, but the configuration gives {expected!r:.60}"


def _numbers(record: RunRecord) -> Iterator[str]:
    """Whether every number is one, and where such a number can be."""
    for where, metrics in (
        ("metrics", record.metrics),
        ("validation", record.validation),
        *((f"others.{other.protocol.name}", other.metrics) for other in record.others),
    ):
        for key, value in metrics.items():
            if not _is_possible(key, value):
                yield f"{where}.{key}: {value} cannot be"
    for key, value in record.false_negative_rate.items():
        if not 0 <= value <= 1:
            yield f"false_negative_rate.{key}: {value} is no share"
    for key, value in record.audit.items():
        if not math.isfinite(value):
            yield f"audit.{key}: {value} is not finite"
    if record.cost is not None:
        for key, value in record.cost.model_dump().items():
            if not (math.isfinite(value) and value >= 0):
                yield f"cost.{key}: {value} cannot be"
    if record.best_epoch is not None and not 0 <= record.best_epoch < record.config.epochs:
        yield f"best_epoch: {record.best_epoch}, of {record.config.epochs} epochs"


def _is_possible(key: str, value: float) -> bool:
    """Whether a metric can have this value."""
    low, high = next(((low, high) for name, low, high in BOUNDS if name.fullmatch(key)), (-math.inf, math.inf))
    return math.isfinite(value) and low <= value <= high


def _ranks(record: RunRecord, stored: "StoredRanks") -> Iterator[str]:
    """Whether the ranks are of the protocol's queries and give the metrics."""
    from benchmark.evaluation.metrics import measures

    protocol = record.protocol
    if len(stored.t2i) != protocol.captions or len(stored.i2t) > protocol.images:
        yield (
            f"ranks.npz: {len(stored.i2t)} images and {len(stored.t2i)} captions, but protocol says"
            f" {protocol.images} and {protocol.captions}"
        )
        return
    yield from _differing(record.metrics, measures(stored.i2t, stored.t2i))


def _differing(said: Mapping[str, float], found: Mapping[str, float]) -> Iterator[str]:
    for key, value in found.items():
        if key not in said:
            yield f"metrics.{key}: missing"
        elif not math.isclose(said[key], value, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"metrics.{key}: {said[key]}, but its ranks give {value:.4f}"
