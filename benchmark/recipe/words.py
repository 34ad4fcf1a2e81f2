"""The words that a shell completes, read from files and folders alone: a Tab waits for no import.

What is not as expected is left out; the command itself says what is wrong with it.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from negbench.benchmark.models import registry as towers
from negbench.methods import registry as methods
from negbench.pipelines.code import ROOT

ENCODERS = ROOT / "pipelines" / "encoders"
PRESETS = ROOT / "benchmark" / "recipe" / "presets"
SCHEMA = ROOT / "benchmark" / "recipe" / "schema.py"
OF_A_RECIPE = ("Recipe", "Execution", "Judging")
"""Classes of the schema whose keys --set takes."""
OF_A_CELL = {"rate_factor": "The method's own factor on the learning rate, after the warm-up."}
LONGEST = 100
"""Characters of a meaning beside its word."""

Words = dict[str, str]
"""Each with what it means, which may be empty."""


def method_names() -> Words:
    """Methods of the suite and of other packages."""
    return dict.fromkeys(methods.names(), "")


def tower_names() -> Words:
    """Towers, and families with the colon behind which a model stands."""
    return dict.fromkeys(towers.names(), "")


def dataset_names() -> Words:
    """Registered datasets."""
    return {path.stem: "" for path in sorted(Path("data").glob("*.yaml"))}


def encoder_names() -> Words:
    """Pairs that something is encoded by already, then encoders of one side."""
    pairs = {path.name: "encoded here" for path in sorted(Path("features").glob("*/*+*")) if path.is_dir()}
    return pairs | {
        path.stem.replace("_", "-"): "" for path in sorted(ENCODERS.glob("*.py")) if path.stem != "__init__"
    }


def recipe_names() -> Words:
    """Named recipes."""
    return {path.stem: _about(path) for path in sorted(PRESETS.glob("*.yaml"), key=lambda path: path.stem)}


def run_folders() -> Words:
    """Folders of records, as they are written."""
    return {path.parent.as_posix(): "" for path in sorted(Path("runs").glob("**/run.json"))}


def keys(method: str = "") -> Words:
    """Keys of a recipe, and the settings of a method of the suite."""
    path = methods.FOLDER / f"{method.partition('+')[0].replace('-', '_')}.py"
    own = _settings(path) if method and path.is_file() else {}
    classes = _classes(SCHEMA)
    return own | OF_A_CELL | {key: doc for name in OF_A_RECIPE for key, doc in _fields(classes[name])}


def _about(preset: Path) -> str:
    """The line ``about`` of a preset."""
    for line in preset.read_text(encoding="utf-8").splitlines():
        if line.startswith("about:"):
            return line.removeprefix("about:").strip(" '\"")[:LONGEST]
    return ""


@cache
def _module(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _classes(path: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in _module(path).body if isinstance(node, ast.ClassDef)}


def _fields(kind: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Fields of a class, with the text below each, or inside its ``setting``."""
    for node, after in zip(kind.body, [*kind.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            below = after.value if isinstance(after, ast.Expr) else None
            call = node.value
            inside = call.args[1] if isinstance(call, ast.Call) and len(call.args) > 1 else None
            text = next((each.value for each in (below, inside) if isinstance(each, ast.Constant)), "")
            yield node.target.id, " ".join(str(text).split())[:LONGEST]


def _found(path: Path, name: str) -> tuple[Path, ast.ClassDef] | None:
    """A class that a file of ``methods`` has or imports, with the file that has it."""
    if name in (here := _classes(path)):
        return path, here[name]
    for node in _module(path).body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and any(each.name == name for each in node.names):
            file = path.parent.joinpath(*(node.module or "").split(".")).with_suffix(".py")
            return _found(file, name) if file.is_file() else None
    return None


def _settings(path: Path) -> Words:
    """Settings of the method in a file: those of the class that ``Settings`` names there, or in a parent's body."""
    todo = [(path, kind) for kind in _classes(path).values() if not kind.name.startswith("_")]
    for place, kind in reversed(todo):
        while kind is not None:
            if name := _named_settings(kind):
                return dict(_inherited(place, name))
            parents = [found for base in kind.bases if isinstance(base, ast.Name) and (found := _found(place, base.id))]
            if not parents:
                break
            place, kind = parents[0]
    return {}


def _named_settings(kind: ast.ClassDef) -> str:
    """``X`` of ``Settings = X`` or ``Settings: type = X`` in a class."""
    for node in kind.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Name):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "Settings" for target in targets):
                return node.value.id
    return ""


def _inherited(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """Fields of a class and of its parents."""
    if found := _found(path, name):
        place, kind = found
        yield from _fields(kind)
        for base in kind.bases:
            if isinstance(base, ast.Name):
                yield from _inherited(place, base.id)
