"""Readers of source formats. A file of this folder is a format; there is no other list.

A reader's module has a docstring whose first line is its summary, ``build(name, source, folder) -> Manifest``,
and, where it reads files, ``detect(folder) -> bool``. A format's name is its file's name with dashes.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from pipelines.errors import DataError, RequestError, unknown

if TYPE_CHECKING:
    from pipelines.manifest import Manifest
    from pipelines.sources import Source


class Reader(Protocol):
    """A module of this folder."""

    def build(self, name: str, source: "Source", folder: Path) -> "Manifest":
        """Read ``source`` into a manifest; files that belong beside its tables go into ``folder``."""
        ...


def _files() -> dict[str, Path]:
    paths = sorted(Path(__file__).parent.glob("*.py"))
    return {path.stem.replace("_", "-"): path for path in paths if path.stem != "__init__"}


def summaries() -> dict[str, str]:
    """Format to one line about it, read without importing it."""
    return {
        name: (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
        for name, path in _files().items()
    }


def get(name: str) -> Reader:
    """The reader of a format."""
    files = _files()
    name = name.replace("_", "-")
    if name not in files:
        raise RequestError(unknown("format", name, files))
    return cast("Reader", import_module(f"{__name__}.{files[name].stem}"))


def is_generated(name: str) -> bool:
    """Whether a format needs no files."""
    return not hasattr(get(name), "detect")


def detect(folder: Path) -> str:
    """The one format whose files lie in ``folder``; ``DataError`` where there is none or more than one."""
    readers = {name: get(name) for name in _files()}
    detectable = {name: reader.detect for name, reader in readers.items() if hasattr(reader, "detect")}
    found = [name for name, looks_like in detectable.items() if looks_like(folder)]
    if len(found) == 1:
        return found[0]
    if found:
        raise RequestError(f"{folder} could be {' or '.join(found)}; name one with --format")
    raise DataError(f"{folder} holds no known format ({', '.join(detectable)}); see docs/data.md for the files of each")
