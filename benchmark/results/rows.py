"""Rows of records: which cells may stand in one table, what names a row, and its means over seeds.

Only cells with the same dataset, protocol, manifest, features, recipe and thresholds share a table. A row of it is a
method under one memory.
"""

import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from negbench.benchmark.errors import BenchError
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.recipe.schema import OF_A_ROW, Execution, Judging, RunConfig
from negbench.benchmark.results.published import Published
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import RunRecord
from negbench.benchmark.results.values import HIGHEST_IS_BEST, VALUES, values_of

SEEDS_TO_MARK = 3
"""Fewer seeds in common make no mark: their noise would pass for the method's."""
OF_A_TRAINING = ("features_hash", "recipe_hash")
"""What two records may differ in and yet be of one test."""
EXTERNAL = "external"
"""In place of a memory, where a model was trained elsewhere."""
ALPHA = 0.05
"""A mark's p is below."""


class Key(NamedTuple):
    """What names a row: what its cells have in common, all but the seed."""

    method: str
    memory: int
    momentum: float | None
    """None in the batch, where it has no effect."""
    external: bool = False
    """Whether it was trained elsewhere: with what, nobody knows here."""

    @property
    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {key: value for key, value in self._asdict().items() if key != "external" or value}

    def __str__(self) -> str:
        if self.external:
            return f"{self.method} ({EXTERNAL})"
        return f"{self.method} ({f'{self.memory:,} @{self.momentum:g}' if self.memory else 'in batch'})"


@dataclass(frozen=True)
class RowChoice:
    """Which rows a person means: a method id, and its memory where several rows have that method."""

    method: str
    memory: str | None = None
    """``2048``, ``2048@0.9`` with the momentum, ``0`` for the batch, ``external`` for what was trained elsewhere."""

    def __post_init__(self) -> None:
        if self.memory is not None and not re.fullmatch(rf"\d+(@\d+(\.\d*)?)?|{EXTERNAL}", self.memory):
            raise BenchError(f"--memory {self.memory}: write it as 0, 2048 or 2048@0.95, or {EXTERNAL}")

    @classmethod
    def parse(cls, text: str) -> "RowChoice":
        """``fne``, or ``fne,2048``, ``fne,2048@0.9``, ``fne,0``."""
        method, comma, memory = text.rpartition(",")
        size = memory == EXTERNAL or (memory[:1].isdigit() and "]" not in memory)
        return cls(method, memory) if comma and size else cls(text)

    def fits(self, row: Key) -> bool:
        if self.method != row.method or self.memory is None:
            return self.method == row.method
        if row.external or self.memory == EXTERNAL:
            return row.external and self.memory == EXTERNAL
        size, _, momentum = self.memory.partition("@")
        return int(size) == row.memory and (not momentum or float(momentum) == row.momentum)


@dataclass(frozen=True)
class Mark:
    """A row against the baseline, in rSum."""

    difference: float
    p: float
    """Other images: sign flips."""
    p_holm: float
    """The same, corrected for all rows that were tested."""
    p_both: float
    """Other trainings and other images: ``significance.both``."""
    p_both_holm: float
    """The same, corrected likewise."""
    p_t: float | None
    """Other trainings on these images: paired t, uncorrected, no part of the mark; None where all seeds are alike."""
    seeds: tuple[int, ...]

    @property
    def p_mark(self) -> float:
        """What decides: the larger of the two corrected ones."""
        return max(self.p_holm, self.p_both_holm)

    @property
    def significant(self) -> bool:
        return self.p_mark < ALPHA


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
    older: int = 0
    """Seeds with an older audit, whose pushed share means something else and is left out (docs/audit.md)."""
    busy: int = 0
    """Seeds that were trained while other work slowed them, whose step time is left out."""
    mark: Mark | None = None
    """Its rSum against the baseline's, where it was tested."""
    external: bool = False
    """Whether it was trained elsewhere."""
    said: tuple[str, ...] = ()
    """What its records tell of themselves: settings that a study found, the members of an ensemble, notes."""

    @property
    def key(self) -> Key:
        return Key(self.method, self.memory, self.momentum, self.external)


@dataclass(frozen=True)
class Group:
    """A table: cells that may be compared."""

    dataset: str
    protocol: Protocol
    manifest_hash: str
    features_hash: str
    recipe_hash: str
    recipe: dict[str, Any]
    """Of the cells that were trained here; thresholds alone where all were trained elsewhere."""
    rows: list[Row]
    """By mean rSum, the highest first; rows without one last."""
    repeated: int
    """Records that a newer record of the same cell replaced."""
    first: bool = True
    """Whether this is the protocol of the whole split, whose ranks are recorded and can be tested."""
    baseline: Key | None = None
    """What the rows were tested against."""
    unmarked: str = ""
    """Why no row was tested; empty where one was, or there is one row."""
    published: tuple[Published, ...] = ()
    """What the literature reports under this protocol, with other features and training."""
    split_by_id: int = 0
    """Images whose split nothing in the source says, so that their ids decided."""

    @property
    def external(self) -> bool:
        """Whether all rows were trained elsewhere: without a recipe in common."""
        return all(row.external for row in self.rows)

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds of all rows."""
        return tuple(sorted({seed for row in self.rows for seed in row.seeds}))

    def place(self, row: Row, value: str) -> int:
        """1 where no other row shows a better mean (one decimal), 2 the next; 0 for all others.

        A collapsed row has no place; of one value none is best, of two none is second.
        """
        means = sorted(
            {round(other.stats[value].mean, 1) for other in self.rows if value in other.stats and not other.collapsed},
            reverse=value in HIGHEST_IS_BEST,
        )
        able = sum(value in other.stats and not other.collapsed for other in self.rows)
        if value not in row.stats or row.collapsed or able < 2:
            return 0
        place = means.index(round(row.stats[value].mean, 1)) + 1
        return place if place == 1 or (place == 2 and able > 2) else 0

    def has(self, value: str) -> bool:
        """Whether any row has it."""
        return any(value in row.stats for row in self.rows)

    @property
    def facts(self) -> dict[str, Any]:
        """What all rows have in common."""
        return {
            "dataset": self.dataset,
            "protocol": self.protocol.name,
            "images": self.protocol.images,
            "captions": self.protocol.captions,
            "folds": self.protocol.folds,
            "manifest_hash": self.manifest_hash,
            "features_hash": self.features_hash,
            "recipe_hash": self.recipe_hash,
            **{key: self.recipe.get(key) for key in ("encoder", "epochs", "batch")},
            "baseline": str(self.baseline) if self.baseline else None,
            "family": sum(row.mark is not None for row in self.rows) or None,
        }


def describe(protocol: Protocol) -> str:
    """The protocol's name with its gallery sizes."""
    folds = f"mean of {protocol.folds} folds of " if protocol.folds > 1 else ""
    return f"{protocol.name} ({folds}{protocol.images:,} images, {protocol.captions:,} captions)"


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


def table_of(record: RunRecord) -> tuple[Any, ...]:
    """What must be the same of all records in one table. Those that were trained elsewhere have their own."""
    test = (record.dataset, *record.protocol.model_dump().values(), *record.about.matches.values())
    return (*test, record.manifest_hash, *(getattr(record, key) for key in OF_A_TRAINING))


def row_of(record: RunRecord) -> Key:
    """What names the record's row."""
    if record.config is None:
        return Key(record.method_id, 0, None, external=True)
    return key_of(record.config)._replace(method=record.method_id)


def key_of(config: RunConfig) -> Key:
    """What names the row of a cell."""
    return Key(config.method_id, config.memory, _momentum(config))


def by_table(cells: Iterable[Recorded], with_external: bool = False) -> dict[tuple[Any, ...], list[Recorded]]:
    """The cells of each table, by ``table_of``, in the order of that.

    ``with_external``: those that were trained elsewhere stand in every table of their test, and no longer in their own.
    """
    tables: dict[tuple[Any, ...], list[Recorded]] = defaultdict(list)
    for cell in cells:
        tables[table_of(cell.record)].append(cell)
    for key in [key for key in tables if with_external and tables[key][0].record.config is None]:
        test = key[: -len(OF_A_TRAINING)]
        hosts = [other for other in tables if other != key and other[: len(test)] == test]
        for host in hosts:
            tables[host] += tables[key]
        if hosts:
            del tables[key]
    return dict(sorted(tables.items()))


def group_of(cells: Sequence[Recorded]) -> Group:
    """The table of cells that may share one; of two records of one cell the newer counts."""
    rows: dict[Key, dict[int, RunRecord]] = defaultdict(dict)
    for record in sorted((cell.record for cell in cells), key=lambda record: record.created):
        rows[row_of(record)][record.seed] = record
    first = next((cell.record for cell in cells if cell.record.config is not None), cells[0].record)
    apart = OF_A_ROW | {*Execution.model_fields}
    return Group(
        dataset=first.dataset,
        protocol=first.protocol,
        manifest_hash=first.manifest_hash,
        features_hash=first.features_hash,
        recipe_hash=first.recipe_hash,
        recipe=first.about.model_dump(exclude=apart, include=None if first.config else {*Judging.model_fields}),
        rows=sorted((_row(list(seeds.values())) for seeds in rows.values()), key=_order),
        repeated=len(cells) - sum(map(len, rows.values())),
    )


def _row(records: list[RunRecord]) -> Row:
    key = row_of(records[0])
    failed = sum(record.status == "failed" for record in records)
    return Row(
        **key._asdict(),
        seeds=tuple(sorted(record.seed for record in records)),
        failed=failed,
        collapsed=sum(record.status == "collapsed" for record in records),
        warmup=sum(_is_warmup(record) for record in records),
        busy=sum(record.cost is not None and record.cost.busy for record in records),
        older=sum(_is_older(record.audit) for record in records),
        stats={} if failed else dict(_stats([values_of(record) for record in records])),
        said=tuple(dict.fromkeys(line for record in records for line in _said(record))),
    )


def _said(record: RunRecord) -> Iterator[str]:
    if record.config is not None and record.config.tuned:
        found = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in record.config.own.items()}
        yield ", ".join(f"{key} {value}" for key, value in sorted(found.items()))
    external = record.external
    if external is not None and external.members:
        yield f"mean similarity of {'; '.join(map(str, external.members))}"
    if external is not None and external.note:
        yield external.note


def _is_warmup(record: RunRecord) -> bool:
    config = record.config
    return config is not None and record.best_epoch is not None and record.best_epoch < config.warmup_epochs


def _is_older(audit: Mapping[str, float]) -> bool:
    return any(f"{name}_judged" in audit and f"{name}_anchors" not in audit for name in ("pushed_i2t", "pushed_t2i"))


def _momentum(config: RunConfig) -> float | None:
    return config.momentum if config.memory else None


def _order(row: Row) -> tuple[float, str, int]:
    return -row.stats["rsum"].mean if "rsum" in row.stats else math.inf, row.method, row.memory


def _stats(seeds: list[dict[str, float]]) -> Iterator[tuple[str, Stat]]:
    for key in VALUES:
        values = [seed[key] for seed in seeds if key in seed]
        if len(values) == len(seeds):
            yield key, stat(values)


def stat(values: Sequence[float]) -> Stat:
    """Mean and sample standard deviation of one value per seed."""
    return Stat(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def rows_of(cells: Iterable[Recorded]) -> dict[Key, dict[int, Recorded]]:
    """The rows of one table, seed by seed; failed cells have no ranks and are left out, of two records the newer stays.

    A row with a failed seed stays with its other seeds.
    """
    found: dict[Key, dict[int, Recorded]] = defaultdict(dict)
    for cell in sorted(cells, key=lambda cell: cell.record.created):
        row, seed = row_of(cell.record), cell.record.seed
        if cell.record.status == "failed":
            found[row].pop(seed, None)
        else:
            found[row][seed] = cell
    return found
