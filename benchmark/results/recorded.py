"""A recorded cell: its record, where it lies, and what stands beside it, read when it is asked for and once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.results import records
from negbench.benchmark.results.records import AGAIN, RunRecord

if TYPE_CHECKING:
    from negbench.benchmark.results.ranks_file import StoredRanks


@dataclass(frozen=True)
class Recorded:
    """A record and its folder."""

    folder: Path
    record: RunRecord

    @cached_property
    def ranks(self) -> "StoredRanks":
        """Of every test query; ``NoDataError`` where they are missing, edited, no ranks or too many."""
        from negbench.benchmark.results.ranks_file import read_ranks  # here: numpy is not loaded without a record

        path = self.folder / "ranks.npz"
        records.check_arrays(path)
        return read_ranks(path, self.record.ranks_sha256)

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """A row per epoch, without what was not measured; ``NoDataError`` where the file is missing or broken, or the
        model was trained elsewhere."""
        if self.record.config is None:
            raise NoDataError(f"{self.folder}: trained elsewhere, so it has no history")
        try:
            read = records.history(self.folder, self.record)
            rows = [{key: float(value) for key, value in row.items() if value} for row in read]
        except (ValueError, TypeError):
            rows = []
        if not rows or not all("val_rsum" in row for row in rows):
            raise NoDataError(f"{self.folder / 'history.csv'}: missing or broken; {AGAIN}")
        return rows
