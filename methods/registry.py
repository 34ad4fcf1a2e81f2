"""Names to methods. A file of this folder is a method; other packages offer theirs as entry points.

A method's name is its file's name with dashes: ``semi_hard.py`` is ``semi-hard``. Somebody else's package
names its class in the entry-point group ``negbench.methods``. Listing imports neither torch nor any method.
"""

import ast
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import getfile, getmembers, isclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from methods.base import Method as Base

GROUP = "negbench.methods"
FOLDER = Path(__file__).parent
NOT_METHODS = {"__init__", "base", "registry"}


class RegistryError(ValueError):
    """A method that cannot be had; one line."""


class UnknownMethodError(RegistryError):
    """No method of that name; the message offers the nearest."""


def _files() -> dict[str, Path]:
    paths = sorted(FOLDER.glob("*.py"))
    return {path.stem.replace("_", "-"): path for path in paths if path.stem not in NOT_METHODS}


def _plugins() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        name = point.name.replace("_", "-")
        if name in _files() or name in found:
            raise RegistryError(f"method '{name}' of {point.value} is already taken; rename the entry point")
        found[name] = point
    return found


def names() -> list[str]:
    """Names of all methods, sorted."""
    return sorted([*_files(), *_plugins()])


def summaries() -> dict[str, str]:
    """Name to one line about the method, read without importing it."""
    lines = {name: _summary(path) for name, path in _files().items()}
    lines |= {name: f"from {point.value}" for name, point in _plugins().items()}
    return dict(sorted(lines.items()))


def _summary(path: Path) -> str:
    try:
        return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    except SyntaxError as error:
        return f"broken: line {error.lineno}: {error.msg}"


def get(name: str) -> "type[Base]":
    """The method's class. ``get("semi-hard")(margin=0.2)`` makes one."""
    name = name.replace("_", "-")
    plugins, files = _plugins(), _files()
    if name not in plugins and name not in files:
        near = get_close_matches(name, names(), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(names())}"
        raise UnknownMethodError(f"unknown method '{name}'; {hint}")
    try:
        return _checked(name, plugins[name].load()) if name in plugins else _only_method(files[name])
    except RegistryError:
        raise
    except Exception as error:  # whatever somebody's file does when it is imported
        raise RegistryError(f"method '{name}' cannot be imported: {type(error).__name__}: {error}") from error


def files_of(method: "type[Base]") -> set[Path]:
    """The source files that make a method: its own, its parents', and what they import from ``methods``."""
    from methods.base import Method

    todo = [Path(getfile(kind)) for kind in method.__mro__ if issubclass(kind, Method)]
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("methods."):
                    todo.append(FOLDER.joinpath(*str(node.module).split(".")[1:]).with_suffix(".py"))
    return found


def _only_method(path: Path) -> "type[Base]":
    from methods.base import Method

    module = import_module(f"methods.{path.stem}")
    found = [
        kind
        for _, kind in getmembers(module, isclass)
        if issubclass(kind, Method) and kind.__module__ == module.__name__
    ]
    if len(found) != 1:
        classes = ", ".join(kind.__name__ for kind in found) or "none"
        raise RegistryError(f"{path.parent.name}/{path.name}: one class derived from Method is needed, found {classes}")
    return found[0]


def _checked(name: str, found: object) -> "type[Base]":
    from methods.base import Method

    if not (isinstance(found, type) and issubclass(found, Method)):
        raise RegistryError(f"method '{name}': its entry point is no class derived from methods.base.Method")
    return found
