"""The leaderboard, from run records alone: tables of comparable cells, their rows tested against a baseline.

Reads JSON only, unless rows are tested: that needs numpy and their ranks.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from negbench.benchmark.errors import BenchError, NoDataError
from negbench.benchmark.evaluation.protocols import Protocol
from negbench.benchmark.results.hints import how_to_record, is_method
from negbench.benchmark.results.integrity import survey
from negbench.benchmark.results.published import published
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import RUNS, RunRecord
from negbench.benchmark.results.rows import (
    SEEDS_TO_MARK,
    Group,
    Key,
    Row,
    RowChoice,
    by_table,
    group_of,
    rows_of,
)
from negbench.benchmark.results.selection import chosen
from negbench.pipelines.errors import DataError, unknown
from negbench.pipelines.files import read_json
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.text import short

BASELINE = "hardest"
"""What rows are tested against, in the batch, where nobody chose."""


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
class Board:
    """All tables, and what stands in none."""

    groups: list[Group]
    left_out: list[LeftOut] = field(default_factory=list)
    cells: list[list[Recorded]] = field(default_factory=list)
    """Of each table, in the order of ``groups``."""


def load(
    root: Path = RUNS,
    dataset: str | None = None,
    baseline: str | None = None,
    with_published: bool = False,
    with_external: bool = False,
    where: str = "",
) -> Board:
    """All tables of the records below ``root``, by dataset.

    Args:
        root: folder of the records.
        dataset: only this one.
        baseline: what to test rows against: a method id, with ``,2048`` or ``,0`` behind it the memory. A method with
            several rows is taken in the batch. Without it: the hardest negative in the batch, where there is one.
        with_published: add what the literature reports.
        with_external: rows that were trained elsewhere stand in the tables of their test, and are tested there.
        where: words of ``selection.chosen``: only the records that these are true of, which are then the whole family.

    Raises:
        NoDataError: no record that can be read, or broken ranks.
        BenchError: a baseline that no table has, or that is not clear.
    """
    cells, left_out = _cells(root, dataset, where)
    choice = RowChoice.parse(baseline) if baseline else None
    if choice is not None:
        known(choice, [cell.record for cell in cells], "--baseline: ")
    tables: list[tuple[Group, list[Recorded]]] = []
    for some in by_table(cells, with_external).values():
        untested: dict[Key, str] = {}
        tables.append((marked(group_of(some), some, choice, untested), some))
        left_out += [LeftOut(f"mark of {row}", reason) for row, reason in untested.items()]
    if choice is not None and not any(choice.fits(row.key) for group, _ in tables for row in group.rows):
        raise BenchError(f"--baseline {baseline}: no table has {choice.method} with memory {choice.memory}")
    tables = sorted(
        [*tables, *_other_protocols(cells, with_external)],
        key=lambda table: (table[0].dataset, table[0].external, not table[0].first),
    )
    groups = [replace(group, split_by_id=_split_by_id(group)) for group, _ in tables]
    if with_published:
        groups = [replace(group, published=tuple(published(group.dataset, group.protocol.name))) for group in groups]
    return Board(groups, left_out, [some for _, some in tables])


def untested(root: Path = RUNS, dataset: str | None = None, where: str = "") -> Board:
    """All tables of the whole split, as ``load`` has them, without their tests.

    Raises:
        NoDataError: no record that can be read.
    """
    cells, left_out = _cells(root, dataset, where)
    tables = [*by_table(cells).values()]
    return Board([group_of(some) for some in tables], left_out, tables)


def _cells(root: Path, dataset: str | None, where: str) -> tuple[list[Recorded], list[LeftOut]]:
    found, broken = survey(root)
    left_out = refused(broken)
    cells = [cell for cell in found if dataset in (None, cell.record.dataset)]
    if not cells:
        others = ", ".join(sorted({cell.record.dataset for cell in found}))
        what = f" of '{dataset}'" if dataset else ""
        place = f"{root} (it has: {others})" if others else f"{root}"
        raise NothingLeftError(f"no records{what} in {place}; {how_to_record(dataset=dataset)}", left_out)
    wanted = chosen(cells, where)
    if not wanted:
        raise NothingLeftError(f"--where: none of {len(cells)} records has {short(where)}", left_out)
    return wanted, left_out


def _split_by_id(group: Group) -> int:
    """What the manifest says, where it is here and the one that the table was made on."""
    try:
        info = read_json(manifest_folder(group.dataset) / "dataset.json")
        return int(info.get("split_by_id", 0)) if info.get("hash") == group.manifest_hash else 0
    except (DataError, ValueError, TypeError, AttributeError):
        return 0


def known(choice: RowChoice, records: Sequence[RunRecord], where: str = "") -> None:
    """``BenchError`` where no record has the method: there is no such method, or it was not run yet."""
    there = sorted({record.method_id for record in records})
    if choice.method in there:
        return
    if is_method(choice.method):
        datasets = " or ".join(sorted({record.dataset for record in records}))
        kin = ", ".join(other for other in there if other.partition("[")[0] == choice.method.partition("[")[0])
        hint = how_to_record(choice.method, records[0].dataset)
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


def _other_protocols(cells: Iterable[Recorded], with_external: bool) -> Iterator[tuple[Group, list[Recorded]]]:
    """The same trainings under further protocols: recalls alone, for all else was measured on the whole split."""
    for some in by_table(cells, with_external).values():
        for protocol in dict.fromkeys(other.protocol for cell in some for other in cell.record.others):
            group = group_of([Recorded(cell.folder, _under(protocol, cell.record)) for cell in some])
            yield replace(group, first=False, unmarked="tests stand in the table of the whole split"), some


def _under(protocol: Protocol, record: RunRecord) -> RunRecord:
    metrics = next((other.metrics for other in record.others if other.protocol == protocol), {})
    changes = {"protocol": protocol, "metrics": metrics, "audit": {}, "false_negative_rate": {}, "cost": None}
    return record.model_copy(update=changes)


def marked(group: Group, cells: Iterable[Recorded], choice: RowChoice | None, untested: dict[Key, str]) -> Group:
    """The table with its rows tested against the baseline, where there is one and enough seeds.

    Rows that cannot be tested go into ``untested``, with the reason.
    """
    if len(group.rows) < 2:
        return group
    if group.external:
        why = "rows that were trained elsewhere share no recipe and no budget (bench compare takes two of them)"
        return replace(group, unmarked=why)
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
    from negbench.benchmark.results.marks import marks  # here: they need numpy

    rows_to_test = {key: row for key, row in rows_of(cells).items() if key in {*able, baseline.key}}
    tested = marks(rows_to_test, baseline.key, untested)
    rows = [replace(row, mark=tested.get(row.key)) for row in group.rows]
    return replace(group, baseline=baseline.key, rows=rows)


def _baseline(group: Group, choice: RowChoice | None) -> Row | None:
    """The row that is meant; of several, the one in the batch."""
    wanted = choice or RowChoice(BASELINE, "0")
    found = [row for row in group.rows if wanted.fits(row.key)]
    fitting = [row for row in found if not row.external] or found
    in_batch = [row for row in fitting if not row.memory]
    if len(fitting) > 1 and not in_batch:
        there = ", ".join(f"{row.memory}@{row.momentum:g}" for row in fitting)
        raise BenchError(
            f"--baseline: {wanted.method} has several rows; write it as {wanted.method},MEMORY of: {there}"
        )
    return next(iter(in_batch or fitting), None)


def _other(group: Group) -> str:
    """A baseline that a table has: the method of the usual one, otherwise the row with the lowest rSum."""
    own = [row for row in group.rows if not row.external]
    able = [row for row in own if "rsum" in row.stats] or own
    row = next((row for row in able if row.method == BASELINE), able[-1])
    alike = [other for other in own if (other.method, other.memory) == (row.method, row.memory)]
    momentum = f"@{row.momentum:g}" if len(alike) > 1 else ""
    return row.method + (f",{row.memory}{momentum}" if row.memory else "")
