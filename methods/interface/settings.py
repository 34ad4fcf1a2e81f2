"""Settings of a method: checked when made, with their meaning, bounds and search space beside the default."""

import math
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True)
class Range:
    """A search space between two numbers, both included; whole numbers where both ends are."""

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g} .. {self.high:g}" + (", log" if self.log else "")


@dataclass(frozen=True)
class Choice:
    """A search space of a few values."""

    options: tuple[Any, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))


class SettingError(ValueError):
    """A setting that is unknown, of the wrong type or out of range. One line, naming it."""


def setting(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] | None = None,
    search: Range | Choice | None = None,
) -> Any:
    """A field of ``Settings``: its default, what it means, what it may be, and what tuning tries."""
    return field(default=default, metadata={"doc": doc, "low": low, "high": high, "choices": choices, "search": search})


@dataclass(frozen=True)
class Settings:
    """Parameters of a method. Checked when made: ``SettingError``."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            object.__setattr__(self, entry.name, _checked(entry, getattr(self, entry.name)))

    @classmethod
    def of(cls, changes: Mapping[str, Any]) -> "Settings":
        """The defaults with ``changes``; unknown names are refused with the nearest valid one."""
        valid = [entry.name for entry in fields(cls)]
        for name in changes:
            if name not in valid:
                near = get_close_matches(name, valid, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(valid) or 'none'}"
                raise SettingError(f"unknown setting '{name}'; {hint}")
        return cls(**changes)

    def changed(self) -> dict[str, Any]:
        """The settings that differ from their defaults, sorted by name."""
        defaults = asdict(type(self)())
        return {name: value for name, value in sorted(asdict(self).items()) if value != defaults[name]}


def _checked(entry: "Field[Any]", value: Any) -> Any:
    """``value`` in the type of the default, or ``SettingError``."""
    kind, meta = type(entry.default), entry.metadata
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise SettingError(f"{entry.name}: {value!r:.60} is no {kind.__name__}")
    low, high, choices = meta["low"], meta["high"], meta["choices"]
    if choices is not None and value not in choices:
        raise SettingError(f"{entry.name}: {value!r:.60} is none of {', '.join(map(str, choices))}")
    if (
        (isinstance(value, float) and not math.isfinite(value))
        or (low is not None and value < low)
        or (high is not None and value > high)
    ):
        bounds = " and ".join(
            f"{word} {end:g}" for word, end in (("at least", low), ("at most", high)) if end is not None
        )
        raise SettingError(f"{entry.name}: {value!r} must be {bounds or 'a number'}")
    return value
