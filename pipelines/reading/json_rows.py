"""JSON files looked at from their beginning, and files that are one object."""

import json
from pathlib import Path
from typing import Any

from negbench.pipelines.errors import DataError
from negbench.pipelines.files import open_plain
from negbench.pipelines.reading.annotations import read_json, shown

LOOK = 1 << 20
"""Bytes of a file that a look takes in."""
SPACE = " \t\r\n"


def first_row(path: Path) -> Any:
    """The first row of a file that is one list; None where it is none."""
    text = _beginning(path)
    return _value(text[1:]) if text.startswith("[") else None


def first_entry(path: Path) -> tuple[str, Any] | None:
    """The first key and value of a file that is one object; None where it is none."""
    text = _beginning(path)
    if not text.startswith("{"):
        return None
    try:
        key, end = json.JSONDecoder().raw_decode(text, len(text) - len(text[1:].lstrip(SPACE)))
    except (ValueError, RecursionError):
        return None
    rest = text[end:].lstrip(SPACE)
    return (key, _value(rest[1:])) if isinstance(key, str) and rest.startswith(":") else None


def read_object(path: Path) -> dict[str, Any]:
    """A file that is one object; ``DataError`` where it is none."""
    whole = read_json(path)
    if not isinstance(whole, dict):
        raise DataError(f"{path}: expected an object, got {shown(whole)}")
    return whole


def _beginning(path: Path) -> str:
    try:
        with open_plain(path) as file:
            return file.read(LOOK).decode("utf-8-sig", errors="replace").lstrip(SPACE)
    except (OSError, DataError):
        return ""


def _value(text: str) -> Any:
    try:
        return json.JSONDecoder().raw_decode(text.lstrip(SPACE))[0]
    except (ValueError, RecursionError):
        return None
