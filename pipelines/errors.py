"""The errors of this package, and how an unknown name is reported."""

import os
import re
import reprlib
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from negbench.pipelines.text import LONGEST, one_line, short

if TYPE_CHECKING:
    from pydantic import ValidationError

EXPECTED = {
    "bool": "true or false",
    "dict": "keys and values",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "model": "keys and values",
    "string": "text",
}
"""What a value should have been, by the first word of pydantic's name for the fault."""
MEMBERS = ("bool", "float", "int", "str")
"""What pydantic puts behind a key that may hold one thing or another."""
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
MOST = 30
"""Valid names to show."""
SHOWN = reprlib.Repr()
"""Shows the beginning of a value, however deep it is nested."""
SHOWN.maxstring = SHOWN.maxlong = SHOWN.maxother = 10 * LONGEST


class DataError(Exception):
    """Data that is missing or invalid. One line: what is wrong, where, and what to do."""


class RequestError(DataError):
    """What was asked for cannot be: a wrong name or option, not wrong data."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> str:
    """One line for an unknown name, with the nearest valid one where there is one."""
    options = sorted(valid)
    near = get_close_matches(name[:LONGEST], options, n=1)
    more = f" and {len(options) - MOST:,} more" if len(options) > MOST else ""
    some = ", ".join(map(short, options[:MOST])) or "none"
    hint = f"did you mean '{short(near[0])}'?" if near else f"valid: {some}{more}"
    return f"unknown {kind} '{short(name)}'; {hint}"


def invalid(error: "ValidationError", keys: Iterable[str] = ()) -> str:
    """The first thing that is wrong with an object, in our words: ``epochs: 0 must be at least 1``.

    ``keys`` are the valid ones, where an unknown key is a fault.
    """
    first: Any = error.errors()[0]
    kind, loc = first["type"], first["loc"]
    if loc and loc[-1] in MEMBERS:
        loc = loc[:-1]
    if kind == "extra_forbidden":
        above = path_of(loc[:-1])
        return (f"{above}: " if above else "") + (
            unknown("key", str(loc[-1]), keys) if keys else f"unknown key '{short(str(loc[-1]))}'"
        )
    return (f"{path_of(loc)}: " if loc else "") + _fault(kind, first)


def path_of(loc: Sequence[int | str]) -> str:
    """A place in nested data: ``images[3].file``."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{short(key)}" for key in loc).removeprefix(".")


def _fault(kind: str, first: Any) -> str:
    about, value = first.get("ctx", {}), short(SHOWN.repr(first["input"]))
    if kind == "missing":
        return "is missing"
    if kind == "json_invalid":
        found = re.search(r"line (\d+) column (\d+)", str(about["error"]))
        where = f" from line {found[1]}, column {found[2]} on" if found else ""
        return f"not JSON{where}" if first["input"].strip() else "empty"
    if kind == "value_error":
        return one_line(str(about["error"]))
    if kind == "literal_error":
        return f"{value} must be {about['expected']}"
    if kind == "finite_number":
        return f"{value} is not finite"
    for key, words in BOUNDS.items():
        if key in about:
            return f"{value} must be {words} {about[key]}"
    what = EXPECTED.get(kind.partition("_")[0])
    return f"expected {what}, got {value}" if what else f"{value} is not valid"


def not_yaml(error: Exception) -> str:
    """Where a text stops being YAML, to follow its file's name: ``:3: not YAML (column 5)``."""
    mark = getattr(error, "problem_mark", None)
    what = "the same key again" if type(error).__name__ == "DuplicateKeyError" else "not YAML"
    return f":{mark.line + 1}: {what} (column {mark.column + 1})" if mark else f": {what}"


def damage(error: Exception) -> str:
    """What is wrong with a file that a library could not read: the system's word for it, or that it is damaged."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else "cut off or damaged"
