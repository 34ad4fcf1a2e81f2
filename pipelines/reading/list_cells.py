"""Cells of CSV that are lists of captions, as a program wrote them: ``["a dog", ...]`` of JSON or Python."""

import ast
import io
import json
import re
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any

from negbench.pipelines.errors import DataError
from negbench.pipelines.reading.annotations import LONGEST

LOOKS = re.compile(r"""\[\s*['"].*['"]\s*\]""", re.DOTALL)
"""What looks like a list of texts, whether it can be read or not."""


def listed_captions(cell: str) -> list[str] | None:
    """The texts of a cell that is a list of nothing else; None where it is none."""
    cell = cell.strip()
    if len(cell) > LONGEST or not (cell.startswith("[") and cell.endswith("]")):
        return None
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        found = _python_list(cell)
    texts = isinstance(found, list) and bool(found) and all(isinstance(text, str) for text in found)
    return found if texts else None


def _python_list(cell: str) -> Any:
    """A list as Python prints it; None where it is none, or texts stand side by side, as numpy prints them."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of a backslash that means nothing
            found = ast.literal_eval(cell)
            texts = [token for token in tokenize.generate_tokens(io.StringIO(cell).readline) if _is_text(token)]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError):
        return None
    return found if isinstance(found, list) and len(found) == len(texts) else None


def _is_text(token: tokenize.TokenInfo) -> bool:
    return token.type == tokenize.STRING


class ListCells:
    """Which columns of a table are lists of captions: those of which most cells are. Of others a list is a fault."""

    def __init__(self, rows: Iterable[dict[str, str]], columns: list[str]) -> None:
        found = {column: Counter[bool]() for column in columns}
        for row in rows:
            for column, counts in found.items():
                if row[column].strip():
                    counts[listed_captions(row[column]) is not None] += 1
        self.columns = columns
        self.lists = [column for column, counts in found.items() if counts[True] > counts[False]]

    def read(self, row: dict[str, str], where: str) -> dict[str, Any]:
        """A row with its lists; ``DataError`` where a cell is none and most others are, or the reverse."""
        made: dict[str, Any] = dict(row)
        for column in self.columns:
            cell, found = row[column].strip(), listed_captions(row[column])
            if not cell:
                continue
            if found is None and LOOKS.fullmatch(cell):
                raise DataError(f"{where}.{column}: no list of JSON or Python, though it looks like one: {cell[:60]!r}")
            if (found is None) == (column in self.lists):
                kind = "no list of captions, as most others are" if found is None else "a list, as most others are not"
                raise DataError(f"{where}.{column}: {kind}: {cell[:60]!r}; write all cells in one way")
            made[column] = cell if found is None else found
        return made
