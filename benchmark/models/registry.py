"""Names to towers. A file of this folder is a tower; other packages offer theirs in the group ``negbench.towers``.

A tower's name is its file's name with dashes; a family's has a model behind it, ``hf:google/vit-base-patch16-224``,
where ``/`` may be written ``--``. Listing imports no tower.
"""

import ast
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
    from negbench.benchmark.models.base import Modality, Tower

GROUP = "negbench.towers"
FOLDER = Path(__file__).parent
NOT_TOWERS = {"__init__", "base", "registry", "two_towers"}


def files() -> dict[str, Path]:
    """The suite's own towers."""
    paths = sorted(FOLDER.glob("*.py"))
    return {path.stem.replace("_", "-"): path for path in paths if path.stem not in NOT_TOWERS}


def place_of(name: str) -> Path | str:
    """The file of a tower of the suite; of another package's its name and version, which stand for its code."""
    tower, _ = split(name)
    if tower in files():
        return files()[tower]
    points = [point for point in entry_points(group=GROUP) if point.name.replace("_", "-") == tower]
    return " ".join([tower, *(f"{point.value} {point.dist.version if point.dist else ''}" for point in points)])


def names() -> list[str]:
    """Of all towers and families, sorted; the suite's own names win."""
    return sorted({*files(), *(point.name.replace("_", "-") for point in entry_points(group=GROUP))})


def summaries() -> dict[str, str]:
    """Name to one line about the tower, read without importing it."""
    lines = {
        name: (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        for name, path in files().items()
    }
    others = {point.name.replace("_", "-"): f"from {point.value}" for point in entry_points(group=GROUP)}
    return dict(sorted((others | lines).items()))


def split(name: str) -> tuple[str, str]:
    """A tower's name and the model behind it, if any, as they are kept: ``/`` is written ``--``."""
    tower, _, model = name.partition(":")
    return tower.replace("_", "-"), model.rstrip("/").replace("/", "--")


def get(name: str) -> "type[Tower]":
    """The tower's class; ``BenchError`` where a family's model is missing, or ``class_of`` finds none."""
    tower, model = split(name)
    found = class_of(tower)
    if bool(model) != bool(found.family):
        right = f"name a model, as in {tower}:{found.family}" if found.family else f"it takes no model; write {tower}"
        raise BenchError(f"tower '{short(name)}': {right}")
    return found


def class_of(tower: str) -> "type[Tower]":
    """The class of a tower or family; ``BenchError`` for an unknown one, or one that cannot be imported."""
    if tower not in names():
        raise BenchError(unknown("tower", short(tower), names()))
    try:
        return _of_file(files()[tower]) if tower in files() else _of_plugin(tower)
    except BenchError:
        raise
    except Exception as error:
        raise BenchError(f"tower '{tower}' cannot be imported: {type(error).__name__}: {short(str(error))}") from error


def for_side(name: str, modality: "Modality") -> "type[Tower]":
    """The tower's class; ``BenchError`` where it has no such side, or its packages are missing."""
    found = get(name)
    if modality not in found.reads:
        raise BenchError(f"{modality}_tower: {split(name)[0]} is a tower of {next(iter(found.reads))}s alone")
    for package in found.packages:
        if find_spec(package) is None:
            raise BenchError(
                f"tower '{split(name)[0]}' needs the package '{package}'; run: pip install 'negbench[{found.extra}]'"
            )
    return found


def _of_file(path: Path) -> "type[Tower]":
    from negbench.benchmark.models.base import Tower

    module = import_module(f"{__package__}.{path.stem}")
    found = [
        kind
        for _, kind in getmembers(module, isclass)
        if kind.__module__ == module.__name__ and issubclass(kind, Tower)
    ]
    if len(found) != 1:
        said = ", ".join(kind.__name__ for kind in found) or "none"
        raise BenchError(f"models/{path.name}: one class derived from Tower is needed, found {said}")
    return found[0]


def _of_plugin(name: str) -> "type[Tower]":
    from negbench.benchmark.models.base import Tower

    (point, *others) = [each for each in entry_points(group=GROUP) if each.name.replace("_", "-") == name]
    if others:
        raise BenchError(f"tower '{name}': two packages offer it; uninstall one")
    found = point.load()
    if not (isinstance(found, type) and issubclass(found, Tower)) or isabstract(found):
        raise BenchError(f"tower '{name}': {point.value} is no whole class derived from Tower")
    return found
