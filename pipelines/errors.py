"""The errors of this package, and how an unknown name is reported."""

from collections.abc import Iterable
from difflib import get_close_matches


class DataError(Exception):
    """Data that is missing or invalid. One line: what is wrong, where, and what to do."""


class RequestError(DataError):
    """What was asked for cannot be: a wrong name or option, not wrong data."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> str:
    """One line for an unknown name, with the nearest valid one where there is one."""
    options = sorted(valid)
    near = get_close_matches(name, options, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(options) or 'none'}"
    return f"unknown {kind} '{name}'; {hint}"
