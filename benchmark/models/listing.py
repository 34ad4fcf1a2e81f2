"""What there is to say of a tower."""

import sys
from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from typing import Any

from negbench.benchmark.errors import BenchError
from negbench.benchmark.models import registry
from negbench.benchmark.models.base import Tower


def entries(summaries: Mapping[str, str]) -> list[dict[str, Any]]:
    """A line per tower; one that cannot be imported says why in place of its sides."""
    return [_entry(name, line) for name, line in summaries.items()]


def _entry(name: str, line: str) -> dict[str, Any]:
    try:
        kind = registry.class_of(name)
    except BenchError as error:
        return {"name": name, "summary": line, "broken": str(error)}
    return {
        "name": f"{name}:NAME" if kind.family else name,
        "summary": line,
        "reads": kind.reads,
        "example": f"{name}:{kind.family}" if kind.family else name,
        "installed": all(find_spec(package) for package in kind.packages),
        "needs": kind.extra,
    }


def card(name: str) -> dict[str, Any]:
    """One tower: its text, source, what it reads, its settings by side."""
    kind = registry.class_of(registry.split(name)[0])
    return {
        **_entry(registry.split(name)[0], (kind.__doc__ or "").strip()),
        "about": (sys.modules[kind.__module__].__doc__ or "").strip(),
        "settings": {side: _settings(kind, side) for side in kind.reads},
    }


def _settings(kind: type[Tower], side: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{side}.{entry.name}",
            "default": entry.default,
            "meaning": entry.metadata["doc"],
            "search": None if entry.metadata["search"] is None else str(entry.metadata["search"]),
        }
        for entry in fields(kind.settings_of(side))
    ]
