"""Where a person may have something written: never into what is only read, nor in among what bench keeps for itself.

Every option that names an output passes through ``check_file`` or ``check_folder`` before any work is done.
"""

import os
from pathlib import Path

from negbench.benchmark.errors import BenchError
from negbench.benchmark.results import records
from negbench.benchmark.results.records import RUNS
from negbench.benchmark.sweeps.studies import STUDIES
from negbench.pipelines import manifest, sources, store
from negbench.pipelines.atomic import Kind, real
from negbench.pipelines.project import PARAMS, PIPELINE

HIDDEN = (".git", ".dvc")
"""Wherever they are: of this project, of the one around it, of another."""
OWN = (
    *(sources.DATA, sources.FEATURES, sources.RAW, RUNS, STUDIES, sources.WORK, *map(Path, HIDDEN)),
    *map(Path, ("benchmark", "methods", "pipelines")),
    *(PARAMS, PIPELINE, *map(Path, ("dvc.lock", "checked", ".dvcignore", ".gitignore"))),
)
"""The project's own folders and files."""
KINDS = (records.KIND, manifest.KIND, store.KIND)
"""Folders that are whole as they are, wherever they stand."""


def check_file(said: str, target: Path) -> None:
    """``BenchError`` where the file ``target`` cannot be written; ``said`` names it as it was asked for."""
    if target.is_dir():
        raise BenchError(f"{said}: a folder; name a file")
    above = real(target).parent
    if not target.exists() and not above.is_dir():
        raise BenchError(f"{said}: there is no folder {above}; make it first")
    check(said, target)


def check_folder(said: str, target: Path, kind: Kind, room: Path | None = None) -> None:
    """``BenchError`` or ``RequestError`` where the folder ``target`` cannot be made, or replaced by one of its kind.

    ``room`` is the one of our own folders that such folders are for.
    """
    check(said, target, room)
    kind.check(real(target))


def check(said: str, target: Path, room: Path | None = None) -> None:
    """``BenchError`` where ``target`` is, or lies in, what is only read or is bench's own, links followed."""
    around = _around(target)
    own = max((place for place in OWN if _real(place) in around), key=lambda place: len(_real(place)), default=None)
    if own is not None and (own != room or _real(own) == _real(target)):
        raise BenchError(f"{said}: {own} is the project's own; name another place")
    hidden = {*HIDDEN} & {*Path(os.path.relpath(_real(target))).parts}
    if hidden:
        raise BenchError(f"{said}: lies in a folder {min(hidden)}; name another place")
    for name, source in sources.others():
        if _real(source) in around:
            raise BenchError(f"{said}: dataset '{name}' is read from {source}, so nothing is written there")
    for folder in map(Path, around - {_real(target)}):
        kind = next((kind for kind in KINDS if kind.is_one(folder)), None)
        if kind is not None:
            raise BenchError(f"{said}: {folder} is a {kind.name}, and nothing else is put into it; name another place")


def _around(target: Path) -> set[str]:
    """``target`` and all folders that it lies in, by the names it is given and by where their links lead."""
    named = Path(os.path.abspath(target))  # noqa: PTH100 - its links are followed one by one
    led = Path(_real(target))
    return {_real(path) for path in (named, *named.parents)} | {str(path) for path in (led, *led.parents)}


def _real(path: Path) -> str:
    return os.path.realpath(path)
