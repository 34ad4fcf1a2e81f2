"""Which datasets there are, read without pandas: listing must be quick."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines import sources
from pipelines.errors import DataError
from pipelines.known import KNOWN

KNOBS = {"ambiguity": "ambiguity", "noise_ratio": "noise"}


@dataclass(frozen=True)
class Entry:
    """A registered dataset, or a well-known one that is not added yet."""

    name: str
    status: Literal["ready", "not prepared", "not added"]
    format: str | None
    images: dict[str, int]
    """Per split; empty where not known yet."""
    encoder: str
    title: str
    settings: dict[str, Any] = field(default_factory=dict)
    """What the reader was told, knobs such as ``ambiguity`` and ``noise_ratio`` among it."""
    how_to_add: str | None = None

    @property
    def knobs(self) -> str:
        """The settings that change what is true, in words."""
        return ", ".join(f"{word} {self.settings[key]}" for key, word in KNOBS.items() if key in self.settings)


def entries() -> list[Entry]:
    """Registered datasets first."""
    added = sources.names()
    missing = [
        Entry(name, "not added", None, known.counts, known.encoder, known.title, how_to_add=known.how_to_add(name))
        for name, known in KNOWN.items()
        if name not in added
    ]
    return [_registered(name) for name in added] + missing


def _registered(name: str) -> Entry:
    source = sources.read(name)
    path = sources.manifest_folder(name) / "dataset.json"
    title = KNOWN[name].title if name in KNOWN else ""
    if not path.exists():
        return Entry(name, "not prepared", source.format, {}, source.encoder, title, source.settings)
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))["counts"]
        images = {split: int(row["images"]) for split, row in counts.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path}: not a manifest; run: bench data prepare {name}") from None
    return Entry(name, "ready", source.format, images, source.encoder, title, source.settings)
