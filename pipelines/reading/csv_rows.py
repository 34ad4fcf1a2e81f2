"""Rows of CSV and TSV, with the line each begins on; quotes that swallow rows are found."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from negbench.pipelines.reading.annotations import Faults, lines
from negbench.pipelines.reading.image_files import SUFFIXES

MOST_LINES = 100
"""A quoted field of CSV runs over fewer lines; more mean that a quote is missing."""

Knows = Callable[[str], bool]
"""Whether there is an image of this name."""


def is_picture(field: str) -> bool:
    """Whether a field is the name of a picture file, by its suffix."""
    return PurePosixPath(field).suffix.lower() in SUFFIXES


def records(
    path: Path, faults: Faults, delimiter: str = ",", quotes: bool = True, knows: Knows | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line each begins on; blank lines are let be. Without ``quotes`` these are letters as any.

    A quoted field may hold line ends, but no line that is a row itself, with the name of an image: ``knows`` tells
    one without a picture's suffix.
    """
    rest = list(lines(path, faults))
    if not quotes:
        yield from ((number, text.split(delimiter)) for number, text in rest if text.strip())
        return
    position = 0
    while position < len(rest):
        number = rest[position][0]
        until = min(position + MOST_LINES, len(rest))
        reader = csv.reader((f"{rest[k][1]}\n" for k in range(position, until)), delimiter=delimiter, strict=True)
        try:
            fields = next(reader)
        except csv.Error as error:  # the next line is tried again by itself
            fault = "a field is too long" if "limit" in str(error) else "a quote is missing or in a wrong place"
            faults.add(f"{path}:{number}: not CSV: {fault}")
            position += 1
            continue
        if swallows := _swallows(fields, delimiter, knows or is_picture):
            faults.add(f"{path}:{number}: {swallows}")
            position += 1
            continue
        position += reader.line_num
        if any(fields):
            yield number, fields


def _swallows(fields: list[str], delimiter: str, knows: Knows) -> str | None:
    """What is wrong with a row of which a quoted field holds other rows, as between two quotes of no use."""
    for field in fields:
        inside = field.split("\n")
        if len(inside) > 1 and any(_is_row(line, len(fields), delimiter, knows) for line in inside):
            return (
                f"the quote that opens here closes {len(inside) - 1:,} lines below, and rows stand between: remove it,"
                ' or write "" for a quote inside a quoted caption'
            )
    return None


def _is_row(line: str, width: int, delimiter: str, knows: Knows) -> bool:
    """Whether a line has as many fields as a row or more, since captions hold the delimiter, and names an image."""
    parts = [part.strip(' "') for part in line.split(delimiter)]
    return len(parts) >= width and any(
        part and (knows(part) or (is_picture(part) and " " not in part)) for part in parts
    )


def has_quotes(path: Path, delimiter: str) -> bool:
    """Whether a table's quotes are CSV's, around whole fields; else they are letters, as inch signs.

    They are CSV's where every line is CSV by itself, and where lines are of one width only if they are.
    """
    every = [text for _, text in lines(path, Faults(skip=True)) if text.strip()]
    try:
        if all(len(list(csv.reader([text], delimiter=delimiter, strict=True))) == 1 for text in every):
            return True
    except csv.Error:
        pass
    return len({text.count(delimiter) for text in every}) > 1
