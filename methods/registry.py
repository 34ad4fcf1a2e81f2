"""Names to methods. A file of this folder is a method; other packages offer theirs as entry points.

A method's name is its file's name with dashes: ``semi_hard.py`` is ``semi-hard``. Somebody else's package
names its class in the entry-point group ``negbench.methods``. Listing imports neither torch nor any method.
"""

import ast
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import getmembers, isclass
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
    lines = {name: (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
             for name, path in _files().items()}  # fmt: skip
    lines |= {name: f"from {point.value}" for name, point in _plugins().items()}
    return dict(sorted(lines.items()))


def get(name: str) -> "type[Base]":
    """The method's class. ``get("semi-hard")(margin=0.2)`` makes one."""
    name = name.replace("_", "-")
    if name in (plugins := _plugins()):
        plugin: type[Base] = plugins[name].load()
        return plugin
    if name not in (files := _files()):
        near = get_close_matches(name, names(), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(names())}"
        raise UnknownMethodError(f"unknown method '{name}'; {hint}")
    from methods.base import Method

    module = import_module(f"methods.{files[name].stem}")
    (method,) = [
        found
        for _, found in getmembers(module, isclass)
        if issubclass(found, Method) and found.__module__ == module.__name__
    ]
    return method
