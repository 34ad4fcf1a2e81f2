"""Parquet files row by row; whatever is wrong with one is a ``DataError`` that names it.

A file of a few thousand bytes may stand for any number of long texts: one of them, said to be repeated. So texts in
lists are read as Arrow's dictionaries, each once, of other columns few rows at a time where values may be long; and
what all values read so far come to is bounded, as for archives, before they are made Python's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.archives import limit_of
from pipelines.errors import DataError, damage

BATCH = 64  # rows at a time: they may hold pictures
MOST_BYTES = 2**27
"""Bytes that the values of a column may need at a time."""
MOST_VALUES = 2**24
"""Values of a column of lists in one of the file's groups of rows."""
OBJECT = 64
"""Bytes of a Python value beside its content."""


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not Parquet that can be read: {damage(error)}; get the file again") from None


def schema(path: Path) -> pa.Schema:
    """Names and types of the columns."""
    with _named(path):
        return pq.read_schema(path)


def rows(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows as Python values with their numbers, from 0."""
    with _named(path):
        leaves = [leaf for leaf in _leaves(path) if leaf.path.partition(".")[0] in columns or leaf.path in columns]
        listed = [leaf.path for leaf in leaves if leaf.max_repetition_level]
        texts = [leaf.path for leaf in leaves if leaf.path in listed and leaf.physical_type == "BYTE_ARRAY"]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            step = _step(path, file.metadata, {leaf.path: leaf.path in listed for leaf in leaves})
            number = done = 0
            for batch in file.iter_batches(batch_size=step, columns=columns):
                done += sum(map(_size, batch.columns))
                if done > limit_of(path):
                    raise DataError(f"{path}: [{number}]: {_too_much(path)}")
                for row in batch.to_pylist():
                    yield number, row
                    number += 1


def _leaves(path: Path) -> list[Any]:
    """The columns that stand in the file: of a nested one its parts."""
    with pq.ParquetFile(path) as file:
        return [file.schema.column(number) for number in range(len(file.schema))]


def _step(path: Path, about: Any, lists: dict[str, bool]) -> int:
    """Rows to read at a time; ``DataError`` where a column holds far more than a file of this size.

    ``lists`` says of each column that is read whether it is one of lists.
    """
    longest = 1
    for group in map(about.row_group, range(about.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            name, size = chunk.path_in_schema, chunk.total_uncompressed_size
            if name not in lists:
                continue
            if size > limit_of(path) or (lists[name] and chunk.num_values > MOST_VALUES):
                raise DataError(f"{path}: column '{name}': {_too_much(path)}")
            longest = longest if lists[name] else max(longest, size)
    return max(1, min(BATCH, MOST_BYTES // longest))


def _too_much(path: Path) -> str:
    return (
        f"more than {limit_of(path) / 1e9:,.1f} GB, or {MOST_VALUES:,} values in lists, in a file of"
        f" {path.stat().st_size / 1e9:,.3f} GB; if that is what it should be, write it again without compression"
    )


def _size(array: Any) -> int:
    """Bytes that the values of an array need as Python's."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(array.dictionary)
        return len(array) * OBJECT + (pc.sum(lengths.take(array.indices)).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(_size(array.field(number)) for number in range(kind.num_fields))
    if pa.types.is_map(kind):
        return _size(array.keys) + _size(array.items)
    if pa.types.is_nested(kind):
        return _size(array.flatten())
    return len(array) * OBJECT + int(array.nbytes)
