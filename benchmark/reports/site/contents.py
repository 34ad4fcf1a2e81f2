"""What a site tells of: tables, methods and runs, and the page of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from negbench.benchmark.reports.plots.selection import Series, Table, safe, series_of
from negbench.benchmark.reports.table_names import table_names
from negbench.benchmark.results.compare import Comparison
from negbench.benchmark.results.every_pair import every_pair, marks_by_baseline
from negbench.benchmark.results.leaderboard import Board, LeftOut
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.rows import EXTERNAL, Group, Key, Mark

MOST_ROWS = 60
"""Of a table whose rows are all held against each other; of a larger one each is held against the baseline alone."""
CHANGED = 3
"""Queries that changed most, on either side of a comparison."""


@dataclass(frozen=True, eq=False)  # the same only as itself
class SiteTable:
    """A table of the leaderboard."""

    table: Table
    stem: str
    """Of the names of its files."""
    pairs: list[Comparison]
    """Rows against each other."""
    marks: dict[Key, dict[Key, Mark]]
    """By baseline."""

    @property
    def group(self) -> Group:
        return self.table.group


@dataclass(frozen=True)
class Contents:
    """The whole site, before it has pages."""

    root: Path
    """Folder of the records."""
    tables: list[SiteTable]
    methods: dict[str, str]
    """What is compared, by ``method_of``, and the stem of its page."""
    runs: dict[Path, str]
    """The same of records by their folders."""
    left_out: list[LeftOut]

    def told(self, text: str) -> str:
        """A text without the place of the records on this machine."""
        return text.replace(f"{self.root}/", "")

    def place(self, cell: Recorded) -> str:
        """Where a record lies among the others."""
        return cell.folder.relative_to(self.root).as_posix()

    def cells(self) -> list[Recorded]:
        """All records of the tables, each once."""
        every = (cell for each in self.tables for one in each.table.series for cell in one.cells)
        return list({cell.folder: cell for cell in every if cell.folder in self.runs}.values())


def contents_of(board: Board, root: Path) -> Contents:
    """Tables with everything that is told of their rows."""
    names = table_names(board.groups)
    files = stems(names)
    tables = [
        _table(name, files[name], group, cells)
        for name, group, cells in zip(names, board.groups, board.cells, strict=True)
    ]
    series = [one for each in tables for one in each.table.series]
    folders = sorted({cell.folder for one in series for cell in one.cells})
    runs = stems(folder.relative_to(root).as_posix() for folder in folders)
    methods = sorted({method_of(one) for one in series})
    by_folder = {folder: runs[folder.relative_to(root).as_posix()] for folder in folders}
    return Contents(root, tables, stems(methods), by_folder, board.left_out)


def _table(name: str, stem: str, group: Group, cells: Sequence[Recorded]) -> SiteTable:
    pairs, marks = [], {}
    if group.first:
        keys = [row.key for row in group.rows]
        if len(keys) <= MOST_ROWS:
            pairs = every_pair(cells, keys, CHANGED)
        elif group.baseline is not None:
            pairs = every_pair(cells, keys, CHANGED, group.baseline)
        marks = marks_by_baseline(group, cells)
    return SiteTable(Table(name, group, series_of(group, cells)), stem, pairs, marks)


def method_of(series: Series) -> str:
    """What a row's page is called: its method without settings."""
    about = series.cells[0].record.about
    return f"{about.method} ({EXTERNAL})" if series.row.external else about.method


def stems(names: Iterable[str]) -> dict[str, str]:
    """The name of a file for each name, without its ending: no two alike, also where capitals do not count."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        if name in found:
            continue
        plain = stem = safe(name).strip(".") or "record"
        number = 1
        while stem.lower() in taken:
            number += 1
            stem = f"{plain}-{number}"
        taken.add(stem.lower())
        found[name] = stem
    return found
