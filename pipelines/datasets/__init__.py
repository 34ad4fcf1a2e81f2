"""Readers of source formats. A file of this folder is a format; there is no other list.

A reader's module has a docstring whose first line is its summary and ``build(name, source, folder) -> Manifest``.
Where it reads files, it has ``detect(folder) -> str | None``, the file that gives the format away, and perhaps
``almost(folder) -> str | None``, what a file lacks that looks like one of it. ``FEATURES = True`` says that there are
features in place of pictures, ``TAKES_OUT = True`` that images are taken out of the source's files into the dataset's
own folder, ``SETTINGS`` which of the settings of ``OPTIONS`` it takes. A format's name is its file's name with dashes.
"""

import ast
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from negbench.pipelines.code import ROOT, code_digest, files_of
from negbench.pipelines.errors import DataError, RequestError, unknown
from negbench.pipelines.reading.ends import ENDS
from negbench.pipelines.reading.json_kind import json_kind

MOST_SEEN = 8
MOST_FOLDERS = 20
"""Of a source that are looked into for datasets of their own."""
OPTIONS = ("columns", "languages", "test_set")
"""Settings that only some readers take."""
JSON_NAMES = {"karpathy": "dataset_*.json", "coco": "captions_*.json", "albef": "*train*.json, *val*.json, *test*.json"}

if TYPE_CHECKING:
    from negbench.pipelines.manifest import Manifest
    from negbench.pipelines.sources import Source


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


def code_of(name: str) -> str:
    """Digest of the code of a format's reader, and of what readers share."""
    rooms = ("pipelines/datasets", "pipelines/reading", "pipelines/scenes")
    shared = {ROOT / "pipelines" / file for file in ("noise.py", "noise_files.py")}
    starts = {_files()[name.replace("_", "-")], *shared}
    whole = files_of(starts, rooms)
    return code_digest({path for path in whole if any(path.is_relative_to(ROOT / room) for room in rooms)} | starts)


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


def holds_features(name: str) -> bool:
    """Whether a format has features in place of pictures."""
    return bool(getattr(get(name), "FEATURES", False))


def takes_stem(name: str) -> bool:
    """Whether one of several datasets in a folder can be taken."""
    return hasattr(get(name), "STEM")


def takes_out(name: str) -> bool:
    """Whether a format's images are inside its files, and are taken out into the dataset's own folder."""
    return bool(getattr(get(name), "TAKES_OUT", False))


def check_settings(name: str, settings: Mapping[str, Any]) -> None:
    """``RequestError`` where a format does not take one of the settings."""
    taken = getattr(get(name), "SETTINGS", ())
    for key in OPTIONS:
        if key in settings and key not in taken:
            does = [other for other in _files() if key in getattr(get(other), "SETTINGS", ())]
            option = f"--{key.replace('_', '-')}"
            raise RequestError(f"format '{name}' takes no {option}; it is of {' and '.join(does)}")


def detect(folder: Path) -> str:
    """The one format whose files lie in ``folder``; ``DataError`` where there is none, ``RequestError`` where more."""
    readers = {name: reader for name in _files() if hasattr(reader := get(name), "detect")}
    found = {name: file for name, reader in readers.items() if (file := reader.detect(folder))}
    if len(found) == 1:
        return next(iter(found))
    if found:
        _check_folders(folder, readers, found)
        could = " or ".join(f"{name} ({file})" for name, file in found.items())
        raise RequestError(f"{folder} could be {could}; name one with --format")
    near = [said for reader in readers.values() if hasattr(reader, "almost") and (said := reader.almost(folder))]
    raise DataError(
        f"{folder} holds no known format: there is {_seen(folder)}; "
        + "".join(f"{said}; " for said in [*near, *_json_seen(folder), *_capitals(folder)])
        + f"formats, see docs/data.md: {', '.join(readers)}"
    )


def _check_folders(folder: Path, readers: dict[str, Reader], found: dict[str, str]) -> None:
    """``DataError`` where the files of several formats lie in folders of their own."""
    if any((folder / file).exists() for file in found.values()):
        return
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    told: dict[Path, str] = {}
    for below in inside[:MOST_FOLDERS]:
        its = [f"{name}: {file}" for name in found if (file := readers[name].detect(below))]  # type: ignore[attr-defined]
        if its:
            told[below] = f"{below.name} ({', '.join(its)})"
    if len(told) > 1:
        ways = " or ".join(f"--from {below}" for below in told)
        raise DataError(f"{folder} holds several datasets: {', '.join(told.values())}; take one with {ways}")


def _json_seen(folder: Path) -> Iterator[str]:
    """What JSON files hold whose names no format knows, and the format that holds the like."""
    for path in sorted(folder.glob("*.json"))[:MOST_SEEN]:
        try:
            keys, guess = json_kind(path)
        except DataError as error:
            yield str(error)
            continue
        like = f", as {guess} does, whose file is named {JSON_NAMES[guess]}" if guess else ""
        yield f"{path.name} holds {keys}{like}"


def _capitals(folder: Path) -> Iterator[str]:
    """Files whose names end as readers look for it, but in capital letters."""
    for path in sorted(folder.glob("*.*"))[:MOST_SEEN]:
        small = path.suffix.lower()
        if small != path.suffix and small in ENDS:
            yield f"{path.name} is looked for as {path.with_suffix(small).name}: rename it"


def _seen(folder: Path) -> str:
    """What lies in a folder, in a few words."""
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if not path.name.startswith("."))
    more = f" and {len(names) - MOST_SEEN:,} more" if len(names) > MOST_SEEN else ""
    return (", ".join(names[:MOST_SEEN]) or "nothing") + more
