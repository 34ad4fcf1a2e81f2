"""The leaderboard, from run records alone: which cells may stand in one table, and their means over seeds.

Only cells with the same dataset, protocol, manifest, features and recipe share a table. A row of it is a method
under one memory. Reads JSON only, unless rows are tested against a baseline: that needs numpy and their ranks.
"""

import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from negbench.benchmark.errors import BenchError, NoDataError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results.hints import how_to_record, is_method
from negbench.benchmark.results.integrity import survey
from negbench.benchmark.results.plausibility import RECALLS
from negbench.benchmark.results.published import Published, published
from negbench.benchmark.results.records import RUNS, Protocol, RunRecord
from negbench.pipelines.errors import unknown

if TYPE_CHECKING:
    from negbench.benchmark.results.marks import Mark

RANKS = ("i2t_medr", "i2t_meanr", "t2i_medr", "t2i_meanr")
COST = ("step_ms", "step_ratio")
TRUE = "true_rsum"
EXTENDED = "extended_rsum"
ECCV = "eccv_map_at_r"
"""Mean of both directions."""
PICKED = "false_negative_percent"
PUSHED = "pushed_percent"
PUSHES = (PUSHED, f"{PUSHED}_low", f"{PUSHED}_high", f"{PUSHED}_base", "pushed_judged")
VALUES = (*RECALLS, *RANKS, "rsum", TRUE, EXTENDED, ECCV, PICKED, *PUSHES, *COST)
HIGHEST_IS_BEST = {*RECALLS, "rsum", TRUE, EXTENDED, ECCV}
OF_A_CELL = {"method", "settings", "seed", "memory", "momentum"}
"""Settings in which the cells of one table may differ."""
SEEDS_TO_MARK = 3
"""Fewer seeds in common make no mark: their noise would pass for the method's."""
BASELINE = "hardest"
"""What rows are tested against, in the batch, where nobody chose."""


class Key(NamedTuple):
    """What names a row: what its cells have in common, all but the seed."""

    method: str
    memory: int
    momentum: float | None
    """None in the batch, where it has no effect."""

    def __str__(self) -> str:
        return f"{self.method} ({f'{self.memory:,} @{self.momentum:g}' if self.memory else 'in batch'})"


@dataclass(frozen=True)
class Choice:
    """Which rows a person means: a method id, and its memory where several rows have that method."""

    method: str
    memory: str | None = None
    """``2048``, ``2048@0.9`` with the momentum, ``0`` for the batch."""

    def __post_init__(self) -> None:
        if self.memory is not None and not re.fullmatch(r"\d+(@\d+(\.\d*)?)?", self.memory):
            raise BenchError(f"--memory {self.memory}: write it as 0, 2048 or 2048@0.95")

    @classmethod
    def parse(cls, text: str) -> "Choice":
        """``fne``, or ``fne,2048``, ``fne,2048@0.9``, ``fne,0``."""
        method, comma, memory = text.rpartition(",")
        return cls(method, memory) if comma and memory[:1].isdigit() and "]" not in memory else cls(text)

    def fits(self, row: Key) -> bool:
        if self.method != row.method or self.memory is None:
            return self.method == row.method
        size, _, momentum = self.memory.partition("@")
        return int(size) == row.memory and (not momentum or float(momentum) == row.momentum)


@dataclass(frozen=True)
class LeftOut:
    """Records that take no part, and why."""

    what: str
    reason: str


class NothingLeftError(NoDataError):
    """No record may take part; ``left_out`` says what there is instead."""

    def __init__(self, message: str, left_out: Sequence[LeftOut]) -> None:
        super().__init__(message)
        self.left_out = list(left_out)


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
    mark: "Mark | None" = None
    """Its rSum against the baseline's, where it was tested."""

    @property
    def key(self) -> Key:
        return Key(self.method, self.memory, self.momentum)


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
    first: bool = True
    """Whether this is the protocol of the whole split, whose ranks are recorded and can be tested."""
    baseline: Key | None = None
    """What the rows were tested against."""
    unmarked: str = ""
    """Why no row was tested; empty where one was, or there is one row."""
    published: tuple[Published, ...] = ()
    """What the literature reports under this protocol, with other features and training."""

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
            "encoder": self.recipe["encoder"],
            "epochs": self.recipe["epochs"],
            "batch": self.recipe["batch"],
            "baseline": str(self.baseline) if self.baseline else None,
            "family": sum(row.mark is not None for row in self.rows) or None,
        }


@dataclass(frozen=True)
class Board:
    """All tables, and what stands in none."""

    groups: list[Group]
    left_out: list[LeftOut] = field(default_factory=list)


Cells = Sequence[tuple[Path, RunRecord]]


def load(
    root: Path = RUNS, dataset: str | None = None, baseline: str | None = None, with_published: bool = False
) -> Board:
    """All tables of the records below ``root``, by dataset.

    Args:
        root: folder of the records.
        dataset: only this one.
        baseline: what to test rows against: a method id, with ``,2048`` or ``,0`` behind it the memory. A method with
            several rows is taken in the batch. Without it: the hardest negative in the batch, where there is one.
        with_published: add what the literature reports.

    Raises:
        NoDataError: no record that can be read, or broken ranks.
        BenchError: a baseline that no table has, or that is not clear.
    """
    found, broken = survey(root)
    left_out = refused(broken)
    cells = [cell for cell in found if dataset in (None, cell[1].config.dataset)]
    if not cells:
        others = ", ".join(sorted({record.config.dataset for _, record in found}))
        what = f" of '{dataset}'" if dataset else ""
        where = f"{root} (it has: {others})" if others else f"{root}"
        raise NothingLeftError(f"no records{what} in {where}; {how_to_record(dataset=dataset)}", left_out)
    choice = Choice.parse(baseline) if baseline else None
    if choice is not None:
        known(choice, [record for _, record in cells], "--baseline: ")
    groups = []
    for key, group in _tables(cells):
        untested: dict[Key, str] = {}
        groups.append(marked(group, [cell for cell in cells if table_of(cell[1]) == key], choice, untested))
        left_out += [LeftOut(f"mark of {row}", reason) for row, reason in untested.items()]
    if choice is not None and not any(choice.fits(row.key) for group in groups for row in group.rows):
        raise BenchError(f"--baseline {baseline}: no table has {choice.method} with memory {choice.memory}")
    groups = sorted([*groups, *_other_protocols(cells)], key=lambda group: (group.dataset, not group.first))
    if with_published:
        groups = [replace(group, published=tuple(published(group.dataset, group.protocol.name))) for group in groups]
    return Board(groups, left_out)


def known(choice: Choice, records: Sequence[RunRecord], where: str = "") -> None:
    """``BenchError`` where no record has the method: there is no such method, or it was not run yet."""
    there = sorted({record.method_id for record in records})
    if choice.method in there:
        return
    if is_method(choice.method):
        datasets = " or ".join(sorted({record.config.dataset for record in records}))
        kin = ", ".join(other for other in there if other.partition("[")[0] == choice.method.partition("[")[0])
        hint = how_to_record(choice.method, records[0].config.dataset)
        raise BenchError(
            f"{where}no records of {choice.method} on {datasets}" + (f" (it has: {kin})" if kin else "") + f"; {hint}"
        )
    raise BenchError(where + unknown("method", choice.method, there))


def refused(broken: Iterable[tuple[Path, str]]) -> list[LeftOut]:
    """A line for the records of a row's folder that cannot be read for the same reason."""
    return [
        LeftOut(str(row / ", ".join(folder.name for folder, _ in some)), reason)
        for (row, reason), some in groupby(broken, key=lambda each: (each[0].parent, each[1]))
    ]


def build(records: Iterable[RunRecord]) -> list[Group]:
    """Sort records into tables and rows."""
    return [group for _, group in _tables([(Path(), record) for record in records])]


def _tables(cells: Cells) -> list[tuple[tuple[Any, ...], Group]]:
    return [(key, _group(records)) for key, records in _by_table(cells)]


def _by_table(cells: Cells) -> list[tuple[tuple[Any, ...], list[RunRecord]]]:
    tables: dict[tuple[Any, ...], list[RunRecord]] = defaultdict(list)
    for _, record in cells:
        tables[table_of(record)].append(record)
    return sorted(tables.items(), key=lambda item: item[0])


def _other_protocols(cells: Cells) -> Iterator[Group]:
    """The same trainings under further protocols: recalls alone, for all else was measured on the whole split."""
    for _, records in _by_table(cells):
        for protocol in dict.fromkeys(other.protocol for record in records for other in record.others):
            group = _group([_under(protocol, record) for record in records])
            yield replace(group, first=False, unmarked="tests stand in the table of the whole split")


def _under(protocol: Protocol, record: RunRecord) -> RunRecord:
    metrics = next((other.metrics for other in record.others if other.protocol == protocol), {})
    changes = {"protocol": protocol, "metrics": metrics, "audit": {}, "false_negative_rate": {}, "cost": None}
    return record.model_copy(update=changes)


def marked(group: Group, cells: Cells, choice: Choice | None, untested: dict[Key, str]) -> Group:
    """The table with its rows tested against the baseline, where there is one and enough seeds.

    Rows that cannot be tested go into ``untested``, with the reason.
    """
    if len(group.rows) < 2:
        return group
    baseline = _baseline(group, choice)
    if baseline is None:
        what = f"{BASELINE} (in batch)" if choice is None else choice.method
        return replace(group, unmarked=f"there is no row of {what}; choose another with --baseline {_other(group)}")
    if "rsum" not in baseline.stats:
        return replace(group, unmarked=f"{baseline.key} has a failed seed")
    able = [
        row.key
        for row in group.rows
        if row is not baseline and "rsum" in row.stats and len({*row.seeds} & {*baseline.seeds}) >= SEEDS_TO_MARK
    ]
    if not able:
        return replace(group, unmarked=f"no row has {SEEDS_TO_MARK} seeds in common with {baseline.key}")
    from negbench.benchmark.results.marks import marks, rows_of  # here, so that what needs no test does not load scipy

    rows_to_test = {key: row for key, row in rows_of(cells).items() if key in {*able, baseline.key}}
    tested = marks(rows_to_test, baseline.key, untested)
    rows = [replace(row, mark=tested.get(row.key)) for row in group.rows]
    return replace(group, baseline=baseline.key, rows=rows)


def _baseline(group: Group, choice: Choice | None) -> Row | None:
    """The row that is meant; of several, the one in the batch."""
    wanted = choice or Choice(BASELINE, "0")
    fitting = [row for row in group.rows if wanted.fits(row.key)]
    in_batch = [row for row in fitting if not row.memory]
    if len(fitting) > 1 and not in_batch:
        there = ", ".join(f"{row.memory}@{row.momentum:g}" for row in fitting)
        raise BenchError(
            f"--baseline: {wanted.method} has several rows; write it as {wanted.method},MEMORY of: {there}"
        )
    return next(iter(in_batch or fitting), None)


def _other(group: Group) -> str:
    """A baseline that a table has: the method of the usual one, otherwise the row with the lowest rSum."""
    able = [row for row in group.rows if "rsum" in row.stats] or group.rows
    row = next((row for row in able if row.method == BASELINE), able[-1])
    alike = [other for other in group.rows if (other.method, other.memory) == (row.method, row.memory)]
    momentum = f"@{row.momentum:g}" if len(alike) > 1 else ""
    return row.method + (f",{row.memory}{momentum}" if row.memory else "")


def table_of(record: RunRecord) -> tuple[Any, ...]:
    """What must be the same of all records in one table."""
    key = (record.config.dataset, *record.protocol.model_dump().values())
    return (*key, record.manifest_hash, record.features_hash, record.recipe_hash)


def row_of(record: RunRecord) -> Key:
    """What names the record's row."""
    return Key(record.method_id, record.config.memory, _momentum(record.config))


def _group(records: list[RunRecord]) -> Group:
    rows: dict[Key, dict[int, RunRecord]] = defaultdict(dict)
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
        older=sum(_is_older(record.audit) for record in records),
        stats={} if failed else dict(_stats([_values(record) for record in records])),
    )


def _is_warmup(record: RunRecord) -> bool:
    return record.best_epoch is not None and record.best_epoch < record.config.warmup_epochs


def _is_older(audit: Mapping[str, float]) -> bool:
    return any(f"{name}_judged" in audit and f"{name}_anchors" not in audit for name in ("pushed_i2t", "pushed_t2i"))


def _momentum(config: RunConfig) -> float | None:
    return config.momentum if config.memory else None


def _order(row: Row) -> tuple[float, str, int]:
    return -row.stats["rsum"].mean if "rsum" in row.stats else math.inf, row.method, row.memory


def _values(record: RunRecord) -> dict[str, float]:
    """The finite ones of ``VALUES`` that the record has."""
    values = {key: record.metrics[key] for key in VALUES if key in record.metrics} | _pushed(record.audit)
    eccv = [record.metrics[key] for key in ("eccv_i2t_map_at_r", "eccv_t2i_map_at_r") if key in record.metrics]
    if eccv:
        values[ECCV] = statistics.fmean(eccv)
    if "both" in record.false_negative_rate:
        values[PICKED] = 100 * record.false_negative_rate["both"]
    if record.cost is not None:
        values["step_ms"] = record.cost.step_ms
        if record.cost.product_ms > 0:
            values["step_ratio"] = record.cost.ratio
    return {key: value for key, value in values.items() if math.isfinite(value)}


def _pushed(audit: Mapping[str, float]) -> dict[str, float]:
    """Both directions of the audit together, weighted by their judged push, in percent.

    Nothing of an older audit, whose push of a sampler was its picks: two meanings never share a column.
    The ends of the interval are averaged like the share, as if both directions erred alike: if anything too wide.
    """
    ends = ("", "_low", "_high", "_base")
    needed = (*ends, "_judged", "_anchors")
    names = [name for name in ("pushed_i2t", "pushed_t2i") if {name + end for end in needed} <= {*audit}]
    judged = sum(audit[f"{name}_judged"] for name in names)
    if not judged:
        return {}
    shares = {
        f"{PUSHED}{end}": 100 * sum(audit[name + end] * audit[f"{name}_judged"] for name in names) / judged
        for end in ends
    }
    return shares | {"pushed_judged": judged}


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
    folds = f"mean of {protocol.folds} folds of " if protocol.folds > 1 else ""
    return f"{protocol.name} ({folds}{protocol.images:,} images, {protocol.captions:,} captions)"


def flat(groups: list[Group]) -> list[dict[str, Any]]:
    """One dictionary per row of every table, plain numbers, None where there is none: for CSV and JSON.

    Rows of the literature follow those of their table and alone have a ``source``; of them only the recalls are known.
    """
    rows = []
    for group in groups:
        rows += [group.facts | _flat_row(row) | _flat_mark(row) | {"source": None} for row in group.rows]
        nothing = dict.fromkeys(rows[-1])
        same = {key: group.facts[key] for key in ("dataset", "protocol", "images", "captions", "folds")}
        rows += [nothing | same | each.flat() for each in group.published]
    return rows


def _flat_row(row: Row) -> dict[str, Any]:
    names = {
        "method": row.method,
        "memory": row.memory,
        "momentum": row.momentum,
        "n": len(row.seeds),
        "failed": row.failed,
        "collapsed": row.collapsed,
        "warmup": row.warmup,
        "seeds": list(row.seeds),
    }
    return names | {
        f"{key}_{part}": getattr(row.stats[key], part) if key in row.stats else None
        for key in VALUES
        for part in ("mean", "std")
    }


def _flat_mark(row: Row) -> dict[str, Any]:
    keys = ("difference", "p", "p_holm", "p_both", "p_both_holm", "p_t", "significant")
    return {f"mark_{key}": getattr(row.mark, key) if row.mark else None for key in keys}
