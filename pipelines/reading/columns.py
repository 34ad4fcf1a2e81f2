"""Tables of images and captions by the names of their columns, whatever their file format."""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from negbench.pipelines.errors import DataError
from negbench.pipelines.reading.annotations import check_id, shown
from negbench.pipelines.reading.caption_rows import split_named
from negbench.pipelines.reading.image_files import form

IMAGE = ("image", "image_path", "filepath", "file_path", "path", "file_name", "filename", "image_name", "img")
CAPTION = ("caption", "captions", "text", "texts", "sentences", "sentence", "comment", "title")
SPLIT = "split"
MOST_EXACT = 2**53
"""From here on floats skip whole numbers, so that several ids become one."""


def image_column(columns: Iterable[str]) -> str | None:
    """The column that names the image."""
    return _first(columns, IMAGE)


def caption_columns(columns: Iterable[str]) -> list[str]:
    """The column of captions, or several numbered ones: ``caption_0``, ``caption_1``, ..."""
    columns = list(columns)
    one = _first(columns, CAPTION)
    numbered = [name for name in columns if name.lower().rstrip("0123456789").rstrip("_") in ("caption", "text")]
    return [one] if one else numbered


def split_column(columns: Iterable[str]) -> str | None:
    """The column that names the split."""
    return _first(columns, (SPLIT,))


def check_names(names: Iterable[str], where: str) -> None:
    """``DataError`` where two columns that are read have one name."""
    plain = [name.strip().lower() for name in names]
    if twice := next((name for name in (*IMAGE, *CAPTION, SPLIT) if plain.count(name) > 1), None):
        several = "; several captions are caption_0, caption_1, ..." if twice in CAPTION else ""
        raise DataError(f"{where}: two columns are called {twice}; leave one or name it otherwise{several}")


def check_agreement(row: dict[str, Any], where: str, ids: bool = False) -> None:
    """``DataError`` where columns of one meaning contradict each other.

    They are the image's, unless these are ``ids`` beside names, and a caption beside ``captions``.
    """
    named = {key: str(row[key]) for key in row if key.strip().lower() in IMAGE and row[key] not in (None, "")}
    if len({form(PurePosixPath(name).stem) for name in named.values()}) > 1 and not ids:
        said = " and ".join(f"{key} {shown(name)}" for key, name in named.items())
        raise DataError(f"{where}: it names two images, {said}; leave one of the columns")
    by_name = {key.strip().lower(): key for key in row if row[key] not in (None, "")}
    first = next((name for name in CAPTION if name in by_name), "")
    other = by_name.get(f"{first}s") if f"{first}s" in CAPTION else None
    if other and texts(row, [by_name[first]], where) != texts(row, [other], where):
        raise DataError(f"{where}: it has both {by_name[first]} and {other}, which differ; put all captions into one")


def _first(columns: Iterable[str], names: tuple[str, ...]) -> str | None:
    by_name = {column.strip().lower(): column for column in columns}
    return next((by_name[name] for name in names if name in by_name), None)


def texts(row: dict[str, Any], columns: list[str], where: str) -> list[str]:
    """The captions of a row: text, an object with ``raw`` or ``caption``, or a list of either."""
    found = []
    for column in columns:
        value = row.get(column)
        for one in value if isinstance(value, list) else [value]:
            said = one.get("raw", one.get("caption")) if isinstance(one, dict) else one
            if not isinstance(said, str):
                raise DataError(f"{where}.{column}: expected text or a list of texts, got {shown(value)}")
            found.append(said)
    if not found:
        raise DataError(f"{where}.{columns[0]}: no caption")
    return found


def split(row: dict[str, Any], column: str | None, where: str) -> str | None:
    """The split a row names, if it does."""
    value = row.get(column) if column else None
    if value is None:
        return None
    if not isinstance(value, str):
        raise DataError(f"{where}.{column}: expected the name of a split, got {shown(value)}")
    return split_named(value, f"{where}.{column}")


def image(row: dict[str, Any], column: str, where: str) -> str:
    """The path or id of a row's image."""
    value = row.get(column)
    if isinstance(value, float) and value.is_integer():  # pandas' numbers beside an empty cell
        if abs(value) >= MOST_EXACT:
            raise DataError(
                f"{where}.{column}: {shown(value)} is a float beyond 2^53, where several ids become one;"
                " write ids as text or whole numbers"
            )
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise DataError(f"{where}.{column}: expected the name or number of an image, got {shown(value)}")
    return check_id(value.strip().removeprefix("./"), f"{where}.{column}")
