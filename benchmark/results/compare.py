"""Two rows of a leaderboard against each other, from records alone: which records, and what differs.

What the tests mean: docs/statistics.md.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from negbench.benchmark.errors import BenchError
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.results.hints import how_to_record
from negbench.benchmark.results.integrity import survey
from negbench.benchmark.results.leaderboard import LeftOut, NothingLeftError, known, refused
from negbench.benchmark.results.marks import METRICS, Paired, pair
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import RUNS
from negbench.benchmark.results.rows import (
    ALPHA,
    EXTERNAL,
    Group,
    Key,
    RowChoice,
    Stat,
    by_table,
    differences,
    group_of,
    row_of,
    rows_of,
    stat,
)
from negbench.benchmark.results.significance import (
    Array,
    both,
    holm,
    interval,
    paired_t,
    paired_wilcoxon,
    sign_flip,
    standardised,
)


@dataclass(frozen=True)
class MetricLine:
    """One metric: A, B, and A - B."""

    metric: str
    a: Stat
    b: Stat
    difference: float
    low: float
    high: float
    """The interval of the difference: bootstrap over images, percentile, 95 %."""
    p: float
    """Other images: sign flips."""
    p_holm: float
    """The same, corrected for the lines of this table."""
    p_both: float | None
    """Other trainings and other images: a mixed model; None with too few seeds."""
    p_both_holm: float | None
    """The same, corrected likewise."""
    won: int
    lost: int
    tied: int
    """Queries that A finds more often than B over the seeds, less often, as often."""

    @property
    def significant(self) -> bool:
        """As of a mark: both, corrected."""
        return self.p_both_holm is not None and max(self.p_holm, self.p_both_holm) < ALPHA


@dataclass(frozen=True)
class OverSeeds:
    """The difference of rSum, A - B, seed by seed: what another training might bring."""

    differences: dict[int, float]
    stat: Stat
    p_t: float | None
    p_wilcoxon: float | None
    standardised: float | None
    """Difference of the means in pooled deviations."""


@dataclass(frozen=True)
class Changed:
    """A query and its rank in A and in B, means over seeds."""

    direction: str
    id: str
    a: float
    b: float


class Significance(NamedTuple):
    """What the tests say of the difference in each metric, ``[7]`` each."""

    p: Array
    """Other images: sign flips."""
    p_both: Array | None
    """Other trainings and other images; None with too few seeds."""
    low: Array
    high: Array
    """Ends of the interval."""


@dataclass(frozen=True)
class Comparison:
    """Two rows of one table."""

    dataset: str
    protocol: Protocol
    a: Key
    b: Key
    seeds: tuple[int, ...]
    """Those that both have."""
    images: int
    lines: list[MetricLine]
    over_seeds: OverSeeds
    won: list[Changed]
    """Queries that A ranks most above B."""
    lost: list[Changed]
    collapsed: list[str]
    """Rows with their collapsed seeds, which are part of it."""
    left_out: list[LeftOut]

    @property
    def external(self) -> list[str]:
        """Rows that were trained elsewhere: nothing of their training is in common with the other."""
        return [str(row) for row in (self.a, self.b) if row.external]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and words, for JSON."""
        named = {"protocol": self.protocol.model_dump(), "a": self.a.told, "b": self.b.told}
        return asdict(self) | named


# --- Two rows ---------------------------------------------------------------------------------------------------


def compare(
    a: RowChoice, b: RowChoice, dataset: str | None = None, digest: str = "", root: Path = RUNS, queries: int = 5
) -> Comparison:
    """Find the two rows, see that they may be compared, and compare them.

    Args:
        a: one row.
        b: the other.
        dataset: of both; may be left out where there is one alone.
        digest: beginning of a recipe, manifest or features hash, where the rows stand in several tables.
        root: folder of the records.
        queries: how many of the most changed to show on either side.

    Raises:
        BenchError: a method or memory that has no row, or a choice that is not clear.
        NoDataError: no records that can be read, broken ranks, or rows that may not be compared.
    """
    cells, broken = survey(root)
    left_out = refused(broken)
    cells = _of_dataset(cells, dataset, root, left_out)
    for choice in (a, b):
        try:
            known(choice, [cell.record for cell in cells])
        except BenchError as error:
            if left_out:  # perhaps these are the ones
                raise NothingLeftError(str(error), left_out) from None
            raise
    rows = {side: _row(choice, cells) for side, choice in (("a", a), ("b", b))}
    if rows["a"] == rows["b"]:
        raise BenchError(f"{rows['a']} stands on both sides; name two methods, or two sizes as --memory 2048,0")
    mine = [cell for cell in cells if row_of(cell.record) in rows.values()]
    table, more = _table(mine, rows["a"], rows["b"], digest, left_out)
    sides = rows_of(table)
    one, two = sides[rows["a"]], sides[rows["b"]]
    left_out += [*more, *_unpaired(table, rows["a"], one, two), *_unpaired(table, rows["b"], two, one)]
    if not one.keys() & two.keys():
        raise NothingLeftError(f"{rows['a']} and {rows['b']} have no finished seed in common", left_out)
    paired = pair(one, two)
    found = comparison((rows["a"], one), (rows["b"], two), paired, significance_of(paired), queries)
    return replace(found, left_out=left_out)


def comparison(
    a: tuple[Key, Mapping[int, Recorded]],
    b: tuple[Key, Mapping[int, Recorded]],
    paired: Paired,
    tests: Significance,
    queries: int,
) -> Comparison:
    """Two rows with their cells, once they are paired and tested; nothing is left out."""
    won, lost = _changed(paired, queries)
    first = a[1][paired.seeds[0]].record
    return Comparison(
        dataset=first.dataset,
        protocol=first.protocol,
        a=a[0],
        b=b[0],
        seeds=paired.seeds,
        images=len(paired.queries),
        lines=_lines(paired, tests),
        over_seeds=_over_seeds(paired),
        won=won,
        lost=lost,
        collapsed=[line for row, cells in (a, b) for line in _collapsed(row, cells, paired.seeds)],
        left_out=[],
    )


def _of_dataset(cells: list[Recorded], dataset: str | None, root: Path, left_out: list[LeftOut]) -> list[Recorded]:
    datasets = sorted({cell.record.dataset for cell in cells})
    if not cells:
        raise NothingLeftError(f"no records in {root}; {how_to_record(dataset=dataset)}", left_out)
    if dataset is None and len(datasets) > 1:
        raise BenchError(f"records of several datasets in {root}; name one with --dataset: {', '.join(datasets)}")
    found = [cell for cell in cells if dataset in (None, cell.record.dataset)]
    if not found:
        raise NothingLeftError(f"no records of '{dataset}' in {root} (it has: {', '.join(datasets)})", left_out)
    return found


def _row(choice: RowChoice, cells: list[Recorded]) -> Key:
    """The one row that is meant."""
    found = {row_of(cell.record) for cell in cells if cell.record.method_id == choice.method}
    all_rows = sorted(found, key=lambda row: (row.external, row.memory, row.momentum or 0))
    fitting = [row for row in all_rows if choice.fits(row)]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(_memory(row) for row in all_rows)
    if not fitting:
        raise BenchError(f"{choice.method} has no row with memory {choice.memory}; it has: {there}")
    raise BenchError(f"{choice.method} has several rows; choose with --memory (of both, or as A,B), it has: {there}")


def _memory(row: Key) -> str:
    """As ``--memory`` takes it."""
    return EXTERNAL if row.external else f"{row.memory}@{row.momentum:g}" if row.memory else "0"


def _table(
    cells: list[Recorded], a: Key, b: Key, digest: str, left_out: list[LeftOut]
) -> tuple[list[Recorded], list[LeftOut]]:
    """The records of the one table that has both rows, and what stands elsewhere."""
    tables = by_table(cells, with_external=a.external != b.external)
    keys, groups = [*tables], [group_of(some) for some in tables.values()]
    elsewhere = {
        key: LeftOut("; ".join(f"{row.key}: seeds {_join(row.seeds)}" for row in group.rows), reason)
        for key, group, reason in zip(keys, groups, _apart(groups), strict=True)
    }
    fitting = [
        key
        for key, group in zip(keys, groups, strict=True)
        if {row.key for row in group.rows} == {a, b}
        and any(one.startswith(digest) for one in (group.recipe_hash, group.manifest_hash, group.features_hash))
    ]
    if len(fitting) != 1:
        message = (
            f"{a} and {b} stand together in no table{f' with a hash of {digest}' if digest else ''}: what they were"
            " measured on or trained with differs"
            if not fitting
            else f"{a} and {b} stand in {len(fitting)} tables; choose one with --hash and the beginning of a digest"
        )
        raise NothingLeftError(message, [*left_out, *elsewhere.values()])
    return tables[fitting[0]], [elsewhere[key] for key in keys if key != fitting[0]]


def _apart(groups: Sequence[Group]) -> Iterator[str]:
    """What each of some tables has that others have not."""
    own = [group for group in groups if not group.external]
    facts = differences(own) if own else {}
    for group in groups:
        if group.external:
            yield f"trained elsewhere [manifest {group.manifest_hash[:8]}]"
            continue
        place = next(place for place, other in enumerate(own) if other is group)
        parts = ", ".join(f"{name} {_short(values[place])}" for name, values in facts.items())
        hashes = f"manifest {group.manifest_hash[:8]}, features {group.features_hash[:8]}"
        yield f"{parts} [recipe {group.recipe_hash}, {hashes}]"


def _short(value: Any) -> str:
    text = str(value)
    return text[:8] if re.fullmatch(r"[0-9a-f]{16,}", text) else text


def _join(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds))


def _unpaired(
    table: list[Recorded], row: Key, cells: Mapping[int, Recorded], other: Mapping[int, Recorded]
) -> list[LeftOut]:
    """Seeds of a row that have no partner, and those that failed."""
    seeds = {cell.record.seed for cell in table if row_of(cell.record) == row}
    parts = [
        (sorted(seeds - cells.keys()), "failed: no ranks"),
        (sorted(cells.keys() - other.keys()), "no such seed on the other side"),
    ]
    return [LeftOut(f"{row}: seeds {_join(found)}", reason) for found, reason in parts if found]


def _collapsed(row: Key, cells: Mapping[int, Recorded], seeds: Sequence[int]) -> list[str]:
    found = [seed for seed in seeds if cells[seed].record.status == "collapsed"]
    return [f"{row}: seeds {_join(found)}"] if found else []


def significance_of(paired: Paired) -> Significance:
    """All tests of two rows."""
    return Significance(sign_flip(paired.parts), both(paired.parts_by_seed), *interval(paired.samples))


def _lines(paired: Paired, tests: Significance) -> list[MetricLine]:
    parts, (p, anew, low, high) = paired.parts, tests
    over_both = [(None, None)] * len(METRICS) if anew is None else zip(anew.tolist(), holm(anew).tolist(), strict=True)
    columns = zip(METRICS, holm(p), over_both, strict=True)
    return [
        MetricLine(
            metric,
            _stat(tuple(paired.values[0][:, place].tolist())),
            _stat(tuple(paired.values[1][:, place].tolist())),
            float(parts[:, place].sum()),
            float(low[place]),
            float(high[place]),
            float(p[place]),
            float(adjusted),
            *anew_and_adjusted,
            *paired.counts[metric],
        )
        for place, (metric, adjusted, anew_and_adjusted) in enumerate(columns)
    ]


@lru_cache(maxsize=2048)
def _stat(values: tuple[float, ...]) -> Stat:
    """``stat``, made once for all pairs that a row stands in."""
    return stat(values)


def _over_seeds(paired: Paired) -> OverSeeds:
    a, b = (values[:, -1] for values in paired.values)
    gaps = (a - b).tolist()
    return OverSeeds(
        dict(zip(paired.seeds, gaps, strict=True)),
        stat(gaps),
        paired_t(a, b),
        paired_wilcoxon(a, b),
        standardised(a, b),
    )


def _changed(paired: Paired, queries: int) -> tuple[list[Changed], list[Changed]]:
    """The queries with the largest ratio of ranks, for A and against it: from 2 to 1 is as much as from 200 to 100."""
    found: list[tuple[float, Changed]] = []
    for direction, (ids, ranks_a, ranks_b) in paired.ranks.items():
        ratio = ranks_a / ranks_b
        ends = np.sort(ratio)[[queries - 1, -queries]] if 0 < queries < len(ratio) else (np.inf, 0)
        far = (ratio <= ends[0]) | (ratio >= ends[1])
        found += [
            (float(ratio[place]), Changed(direction, str(ids[place]), float(ranks_a[place]), float(ranks_b[place])))
            for place in np.flatnonzero(far & (ratio != 1))
        ]
    found.sort(key=lambda each: (each[0], each[1].direction, each[1].id))
    won = [query for ratio, query in found if ratio < 1][:queries]
    lost = [query for ratio, query in reversed(found) if ratio > 1][:queries]
    return won, lost
