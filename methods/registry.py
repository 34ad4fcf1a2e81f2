"""Names to methods. A file of this folder is a method; other packages offer theirs as entry points.

A method's name is its file's name with dashes: ``semi_hard.py`` is ``semi-hard``. Somebody else's package
names its class in the entry-point group ``negbench.methods``. Listing imports neither torch nor any method.

What is wrong with somebody else's package is told of its method alone, and disables no other: ``broken`` says what
can be told without importing it, ``get`` the rest. The suite's own names always win.
"""

import ast
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, is_dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, distributions
from inspect import getfile, getmembers, isabstract, isclass
from pathlib import Path
from threading import current_thread, main_thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Method as Base

GROUP = "negbench.methods"
FOLDER = Path(__file__).parent
NOT_METHODS = {"__init__", "base", "registry"}
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
"""A method's name, which folders are named by."""
LONGEST = 200
"""Characters of somebody else's text to show."""


class RegistryError(ValueError):
    """A method that cannot be had; one line."""


class UnknownMethodError(RegistryError):
    """No method of that name; the message offers the nearest."""


def _files() -> dict[str, Path]:
    paths = sorted(FOLDER.glob("*.py"))
    return {path.stem.replace("_", "-"): path for path in paths if path.stem not in NOT_METHODS}


@dataclass(frozen=True)
class Plugin:
    """A method that somebody else's package offers."""

    name: str
    package: str
    value: str = ""
    """Module and class, as the entry point has them."""
    point: EntryPoint | None = None
    fault: str = ""
    """Why it cannot be used, as far as that can be told without importing it."""

    @property
    def place(self) -> str:
        return f"{self.value} of {self.package}" if self.value else self.package


def _plugins() -> dict[str, Plugin]:
    """By name. A name that two packages offer is neither's."""
    found: dict[str, Plugin] = {}
    for plugin in (each for package in distributions() for each in _offered(package)):
        other = found.setdefault(plugin.name, plugin)
        if other.package != plugin.package:  # a package that is on the path twice is taken where Python finds it first
            fault = f"{plugin.place} offers it, too; uninstall one"
            found[plugin.name] = Plugin(other.name, other.package, other.value, fault=fault)
    return found


def _offered(package: Distribution) -> Iterator[Plugin]:
    """The methods of an installed package; one that stands for all of them, where its list cannot be read."""
    try:
        if GROUP not in (package.read_text("entry_points.txt") or ""):
            return
        name = str(package.metadata["Name"])
        points = [point for point in package.entry_points if point.group == GROUP]
    except Exception as error:  # of a file that is not what the packaging rules say
        name = Path(str(getattr(package, "_path", "package"))).stem
        yield Plugin(name, name, fault=f"its entry_points.txt cannot be read: {_told(error)}")
        return
    yield from (_plugin(point, name) for point in points)


def _plugin(point: EntryPoint, package: str) -> Plugin:
    name, value = point.name.replace("_", "-"), _shown(point.value)
    if not NAME.fullmatch(name):
        return Plugin(_shown(name), package, value, fault="its name may have letters, digits, - and . alone")
    if name in _files():
        return Plugin(name, package, value, fault="the name is one of the suite's own; rename the entry point")
    if not EntryPoint.pattern.fullmatch(point.value):
        return Plugin(name, package, value, fault="its entry point is not written MODULE:CLASS")
    return Plugin(name, package, value, point)


def names() -> list[str]:
    """Names of all methods that can be had, as far as that can be told without importing them; sorted."""
    return sorted([*_files(), *(plugin.name for plugin in _plugins().values() if not plugin.fault)])


def place_of(name: str) -> "Path | str":
    """The file of a method of the suite; of another package's its name and version, which stand for its code."""
    if (path := _files().get(name)) is not None:
        return path
    plugin = _plugins().get(name)
    version = plugin.point.dist.version if plugin and plugin.point and plugin.point.dist else ""
    return f"{name} {plugin.place if plugin else ''} {version}"


def summaries() -> dict[str, str]:
    """Name to one line about the method, read without importing it."""
    lines = {name: _summary(path) for name, path in _files().items()}
    lines |= {name: f"from {plugin.place}" for name, plugin in _plugins().items() if not plugin.fault}
    return dict(sorted(lines.items()))


def broken() -> dict[str, str]:
    """What other packages offer that cannot be used: name to where it is from, and why not."""
    return {name: f"{each.place}: {each.fault}" for name, each in sorted(_plugins().items()) if each.fault}


def check_name(name: str) -> None:
    """``RegistryError`` where ``name`` can be no method's."""
    if not NAME.fullmatch(name):
        raise RegistryError(
            f"method '{_shown(name)}': use letters, digits and . _ - alone, letters or digits first and last"
        )


def _summary(path: Path) -> str:
    try:
        return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    except SyntaxError as error:
        return f"broken: line {error.lineno}: {error.msg}"


def get(name: str) -> "type[Base]":
    """The method's class. ``get("semi-hard")(margin=0.2)`` makes one."""
    name = name.replace("_", "-")
    if (path := _files().get(name)) is not None:
        return _only_method(path)
    plugin = _plugins().get(name)
    if plugin is None:
        shown = name[:LONGEST]
        near = get_close_matches(shown, names(), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(names())}"
        raise UnknownMethodError(f"unknown method '{shown}'; {hint}")
    if plugin.point is None:
        raise RegistryError(f"method '{name}' of {plugin.place} cannot be used: {plugin.fault}")
    from . import base  # noqa: F401  what fails there is no fault of the plugin

    with _guarded(name):
        return _checked(name, plugin.point.load())


@contextmanager
def _guarded(name: str) -> Iterator[None]:
    """Whatever a plugin does when it is imported is its fault, told in one line; an interrupt from outside stays one.

    That includes ``sys.exit`` and a ``KeyboardInterrupt`` of its own, which would end the command as if all were well.
    """
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT) if current_thread() is main_thread() else None

    def interrupt(number: int, frame: object) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    try:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)
        yield
    except RegistryError:
        raise
    except BaseException as error:
        if pressed or (isinstance(error, KeyboardInterrupt) and before is not signal.default_int_handler):
            raise KeyboardInterrupt from None
        raise RegistryError(f"method '{name}' cannot be imported: {_told(error)}") from error
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


def _told(error: BaseException) -> str:
    """An error in some words, of one line."""
    said = ""
    with suppress(Exception):  # its own text may be what fails
        said = _shown(" ".join(str(error).split()))
    return f"{type(error).__name__}: {said}".removesuffix(": ")


def _shown(text: str) -> str:
    """Somebody else's text as far as it can be shown anywhere."""
    return "".join(each if each.isprintable() else "?" for each in text[:LONGEST])


def files_of(method: "type[Base]") -> set[Path]:
    """The source files that make a method: its own, its parents', and what they import from ``methods``."""
    from .base import Method

    todo = [Path(getfile(kind)) for kind in method.__mro__ if issubclass(kind, Method)]
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.level:
                    folder = path.parents[node.level - 1]
                    todo.append(folder.joinpath(*(node.module or "__init__").split(".")).with_suffix(".py"))
    return found


def _only_method(path: Path) -> "type[Base]":
    from .base import Method

    try:
        module = import_module(f"{__package__}.{path.stem}")
    except Exception as error:  # a file that somebody is writing
        name = path.stem.replace("_", "-")
        raise RegistryError(f"method '{name}' cannot be imported: {_told(error)}") from error
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
    from .base import Method, Settings

    if not (isinstance(found, type) and issubclass(found, Method)):
        raise RegistryError(f"method '{name}': its entry point is no class derived from negbench.methods.base.Method")
    if isabstract(found):
        lacks = ", ".join(sorted(found.__abstractmethods__))
        raise RegistryError(f"method '{name}': {found.__name__} has no {lacks}")
    settings: object = found.Settings
    if not (isinstance(settings, type) and issubclass(settings, Settings) and is_dataclass(settings)):
        raise RegistryError(f"method '{name}': {found.__name__}.Settings is no dataclass derived from Settings")
    return found
