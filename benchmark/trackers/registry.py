"""Names to trackers. A file of this folder is one; other packages offer theirs in the group ``negbench.trackers``.

Listing imports no tracker and no tool.
"""

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from inspect import getmembers, isabstract, isclass
from pathlib import Path
from typing import TYPE_CHECKING

from negbench.benchmark.errors import BenchError
from negbench.pipelines.errors import unknown
from negbench.pipelines.text import short

if TYPE_CHECKING:
    from negbench.benchmark.trackers.base import Tracker

GROUP = "negbench.trackers"
FOLDER = Path(__file__).parent
NOT_TRACKERS = {"__init__", "base", "registry", "tracking"}


def files() -> list[str]:
    """Names of the suite's own."""
    return sorted({path.stem for path in FOLDER.glob("*.py")} - NOT_TRACKERS)


def names() -> list[str]:
    """Of all trackers; the suite's own names win."""
    return sorted({*files(), *(point.name for point in entry_points(group=GROUP))})


def chosen(asked: Iterable[str]) -> "dict[str, type[Tracker]]":
    """The trackers asked for, once each; ``BenchError`` for one that is unknown, broken, or lacks its package."""
    return {name: get(name) for name in asked}


def get(name: str) -> "type[Tracker]":
    """The tracker's class."""
    if name not in names():
        raise BenchError(f"--track: {unknown('tracker', short(name), names())}")
    try:
        found = _of_file(name) if name in files() else _of_plugin(name)
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        told = f"{type(error).__name__}: {short(str(error))}"
        raise BenchError(f"--track: tracker '{name}' cannot be imported: {told}") from error
    if not is_there(found.package):
        wanted = f"'negbench[{name}]'" if name in files() else found.package
        raise BenchError(f"--track {name}: the package '{found.package}' is missing; run: pip install {wanted}")
    return found


def is_there(package: str) -> bool:
    """Whether it is installed, without importing it."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # of a part of a package that is missing
        return False


def _of_file(name: str) -> "type[Tracker]":
    from negbench.benchmark.trackers.base import Tracker

    module = import_module(f"{__package__}.{name}")
    (found,) = (
        kind
        for _, kind in getmembers(module, isclass)
        if kind.__module__ == module.__name__ and issubclass(kind, Tracker)
    )
    return found


def _of_plugin(name: str) -> "type[Tracker]":
    from negbench.benchmark.trackers.base import Tracker

    point, *others = [each for each in entry_points(group=GROUP) if each.name == name]
    if others:
        raise BenchError(f"--track: tracker '{name}': two packages offer it; uninstall one")
    found = point.load()
    if not (isinstance(found, type) and issubclass(found, Tracker)) or isabstract(found):
        raise BenchError(f"--track: tracker '{name}': {point.value} is no whole class derived from Tracker")
    return found
