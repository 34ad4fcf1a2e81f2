"""Columns and keys of tables that are not read: named once, or refused where only they say the split."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from negbench.pipelines.errors import DataError
from negbench.pipelines.reading.annotations import shown
from negbench.pipelines.reading.caption_rows import SPLIT_NAMES, CaptionRows

MOST = 8
"""Columns to name."""
MOSTLY = 0.5
"""Share of a column's values that are names of splits, where it says the split."""


class Unread:
    """What the rows of tables have beside the columns that are read."""

    def __init__(self) -> None:
        self._splits: dict[Path, dict[str, Counter[str | None]]] = defaultdict(lambda: defaultdict(Counter))
        """Column to how often it names each split, or something else."""

    def see(self, path: Path, row: dict[str, Any], read: Iterable[str | None]) -> None:
        """A row of a table, of which these columns are read."""
        for column in row.keys() - set(read):
            value = row[column]
            split = SPLIT_NAMES.get(value.strip().lower()) if isinstance(value, str) else None
            self._splits[path][column][split] += 1

    def tell(self, rows: CaptionRows) -> None:
        """All rows were seen; ``DataError`` where ids decide the split though a column could."""
        for path, columns in self._splits.items():
            for column, found in columns.items():
                named = {split: count for split, count in found.items() if split}
                if rows.split_is_by_id and len(named) > 1 and sum(named.values()) >= MOSTLY * found.total():
                    raise DataError(
                        f"{path}: the values of {shown(column)} are {', '.join(named)}: call it split, or leave it out"
                    )
            names = sorted(columns)
            more = f" and {len(names) - MOST:,} more" if len(names) > MOST else ""
            rows.say(path.name, f"not read of it: {', '.join(shown(name) for name in names[:MOST])}{more}")
