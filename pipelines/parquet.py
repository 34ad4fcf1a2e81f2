"""Parquet files row by row; whatever is wrong with one is a ``DataError`` that names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import DataError, damage

BATCH = 64  # rows at a time: they may hold pictures


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
    with _named(path), pq.ParquetFile(path) as file:
        number = 0
        for batch in file.iter_batches(batch_size=BATCH, columns=columns):
            for row in batch.to_pylist():
                yield number, row
                number += 1
