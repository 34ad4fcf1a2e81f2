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

from negbench.pipelines.errors import DataError, damage
from negbench.pipelines.sources.archives import limit_of

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
    with _named(path), pq.ParquetFile(path) as whole:
        every = [whole.schema.column(number) for number in range(len(whole.schema))]
        leaves = [leaf for leaf in every if leaf.path.partition(".")[0] in columns or leaf.path in columns]
        lists = {leaf.path: bool(leaf.max_repetition_level) for leaf in leaves}
        texts = [leaf.path for leaf in leaves if lists[leaf.path] and leaf.physical_type == "BYTE_ARRAY"]
        step = _step(path, whole.metadata, lists)
        number = done = 0
        with pq.ParquetFile(path, read_dictionary=texts) as lean:
            for group in range(whole.num_row_groups):
                for batch in _batches(path, whole, lean, texts, group, batch_size=step, columns=columns):
                    done += sum(map(_size, batch.columns))
                    if done > limit_of(path):
                        raise DataError(f"{path}: [{number}]: {_too_much(path)}")
                    for row in batch.to_pylist():
                        yield number, row
                        number += 1


def _batches(path: Path, whole: Any, lean: Any, texts: list[str], group: int, **how: Any) -> Iterator[Any]:
    """Some rows of a group at a time: with ``texts`` as dictionaries, or plain from where Arrow cannot do that.

    It cannot where a text in a list is in the file's dictionary and the next one is not, as it is full. Then no text
    of the dictionary may be so long that the group would be too much if all were as long.
    """
    read = 0
    try:
        for batch in lean.iter_batches(row_groups=[group], **how):
            yield batch
            read += len(batch)
        return
    except pa.ArrowNotImplementedError:
        first = next(lean.iter_batches(row_groups=[group], batch_size=1, columns=how["columns"]))  # has it whole
    longest = max(map(_longest, first.columns))
    about = whole.metadata.row_group(group)
    for chunk in map(about.column, range(about.num_columns)):
        if chunk.path_in_schema in texts and chunk.num_values * longest > limit_of(path):
            raise DataError(f"{path}: column '{chunk.path_in_schema}': {_too_much(path)}")
    for batch in whole.iter_batches(row_groups=[group], **how):
        if len(batch) > read:
            yield batch.slice(read)
        read = max(0, read - len(batch))


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
        f" {path.stat().st_size / 1e9:,.3f} GB; if it is what it should be,"
        " write it again without compression and dictionaries"
    )


def _parts(array: Any) -> list[Any]:
    """The arrays that an array of nested values is made of."""
    kind = array.type
    if pa.types.is_struct(kind):
        return [array.field(number) for number in range(kind.num_fields)]
    if pa.types.is_map(kind):
        return [array.keys, array.items]
    return [array.flatten()] if pa.types.is_nested(kind) else []


def _size(array: Any) -> int:
    """Bytes that the values of an array need as Python's."""
    if parts := _parts(array):
        return sum(map(_size, parts))
    if pa.types.is_dictionary(array.type):
        lengths = pc.binary_length(array.dictionary)
        return len(array) * OBJECT + (pc.sum(lengths.take(array.indices)).as_py() or 0)
    return len(array) * OBJECT + int(array.nbytes)


def _longest(array: Any) -> int:
    """Bytes of the longest text in the dictionaries of an array."""
    if pa.types.is_dictionary(array.type):
        return pc.max(pc.binary_length(array.dictionary)).as_py() or 0
    return max(map(_longest, _parts(array)), default=0)
