"""Which records a picture is drawn from: those that may share a table, as in the leaderboard."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.reports.plots.page import SCREEN, Page
from negbench.benchmark.reports.table_names import table_names
from negbench.benchmark.results.hints import how_to_record
from negbench.benchmark.results.integrity import survey
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import RUNS, RunRecord
from negbench.benchmark.results.rows import Group, Key, Row, by_table, group_of, row_of
from negbench.pipelines.text import short

LONGEST = 48
"""Characters of a name in a picture."""
LONGEST_FILE = 100
"""The same of a file's; of a longer one the end is replaced by a digest."""


def shown(name: str) -> str:
    """A name from outside, as it is written in a picture."""
    return short(name, LONGEST)


def safe(name: str) -> str:
    """A file name of letters, digits and a few signs: one part of a path."""
    plain = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.=") else "-" for sign in name).strip("-")
    if len(plain) <= LONGEST_FILE:
        return plain
    return f"{plain[: LONGEST_FILE - 9]}-{crc32(name.encode(errors='replace')):08x}"


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    root: Path = RUNS
    datasets: tuple[str, ...] = ()
    """None: all that are recorded."""
    methods: tuple[str, ...] = ()
    """Methods or method ids; none: all."""
    memory: int | None = None
    run: Path | None = None
    """Folder of one run."""
    epochs: tuple[int, ...] = ()
    """From 1; none: some of them, the first and the last too."""
    page: Page = SCREEN

    def wants(self, record: RunRecord) -> bool:
        return (
            (not self.datasets or record.dataset in self.datasets)
            and (not self.methods or bool({record.method_id, record.about.method} & set(self.methods)))
            and (self.memory is None or (record.config is not None and record.config.memory == self.memory))
        )


@dataclass(frozen=True, eq=False)  # the same only as itself: a key of dictionaries
class Series:
    """A row of the leaderboard: the seeds of a method under one memory."""

    row: Row
    """Its means and deviations: what a picture shows is what the leaderboard says."""
    cells: tuple[Recorded, ...]
    """By seed."""

    @property
    def label(self) -> str:
        return shown(self.row.method) + (
            f" +{self.row.memory:,}" if self.row.memory else " (external)" * self.row.external
        )


@dataclass(frozen=True)
class Table:
    """Series that may be compared."""

    name: str
    """The dataset, with a digest where it has several tables: for the names of files."""
    group: Group
    series: tuple[Series, ...]
    """As the leaderboard orders them."""

    @property
    def whole(self) -> list[Series]:
        """Those without a failed seed."""
        return [one for one in self.series if not one.row.failed]


def readable(series: Series) -> tuple[Series, list[str]]:
    """A series of the seeds whose history can be read, and why others are left out."""
    cells, reasons = [], []
    for cell in series.cells:
        try:
            _ = cell.history
            cells.append(cell)
        except NoDataError as error:
            reasons.append(str(error))
    return replace(series, cells=tuple(cells)), reasons


def named(series: Collection[Series]) -> tuple[list[str], str]:
    """What is written beside each, and what the heading says of ``n``: labels say it where it is not most rows'."""
    usual, told = most([str(len(one.cells)) for one in series])
    labels = []
    for one in series:
        remarks = ["collapsed"] * bool(one.row.collapsed) + ["warm-up's weights"] * bool(one.row.warmup)
        remarks += [f"n = {len(one.cells)}"] if str(len(one.cells)) != usual else []
        labels.append(one.label + (f" ({', '.join(remarks)})" if remarks else ""))
    return labels, told


def most(counts: Collection[str]) -> tuple[str, str]:
    """The number of seeds that most rows have, and the words that say so once for all."""
    usual, times = Counter(sorted(counts, reverse=True)).most_common(1)[0]
    return usual, f"n = {usual}" + (" where no other stands" if times < len(counts) else "")


def lacking(table: Table, shown: Collection[Series], otherwise: str) -> list[str]:
    """The rows that are not shown, a line for each reason: a failed seed, or ``otherwise``."""
    hidden = [one for one in table.series if one not in shown]
    names = {
        "a seed failed": [one.label for one in hidden if one.row.failed],
        otherwise: [one.label for one in hidden if not one.row.failed],
    }
    return [f"{', '.join(some)} ({why})" for why, some in names.items() if some]


def tables(question: Wanted) -> list[Table]:
    """All tables asked for; ``NoDataError`` where there is no such record."""
    everything = survey(question.root)[0]
    found = list(by_table(cell for cell in everything if question.wants(cell.record)).values())
    if not found:
        raise NoDataError(_nothing(question, [cell.record for cell in everything]))
    groups = [group_of(cells) for cells in found]
    return [
        Table(name, group, series_of(group, cells))
        for name, group, cells in zip(table_names(groups), groups, found, strict=True)
    ]


def series_of(group: Group, cells: Collection[Recorded]) -> tuple[Series, ...]:
    newest: dict[tuple[Key, int], Recorded] = {}
    for cell in sorted(cells, key=lambda cell: cell.record.created):  # of a cell that was run again the newest counts
        newest[row_of(cell.record), cell.record.seed] = cell
    return tuple(Series(row, tuple(newest[row.key, seed] for seed in row.seeds)) for row in group.rows)


def _nothing(question: Wanted, records: list[RunRecord]) -> str:
    """What is missing, and the command that makes it."""
    memory = f" with memory {question.memory}" if question.memory is not None else ""
    asked = [", ".join(question.methods), "on " + ", ".join(question.datasets) if question.datasets else ""]
    what = " ".join(["no records", *(f"of {asked[0]}" for _ in asked[0][:1]), asked[1]]).strip() + memory
    has = sorted({f"{record.dataset}: {record.method_id}" for record in records})
    some = ", ".join(has[:6]) + (" ..." if len(has) > 6 else "")
    method, dataset = question.methods[:1] or ("hardest",), question.datasets[:1] or (None,)
    where = f"{question.root} (it has {some})" if has else f"{question.root}"
    return f"{what} in {where}; {how_to_record(method[0], dataset[0])}"
