"""Which datasets there are, read without pandas: listing must be quick."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from negbench.pipelines import sources
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import read_json
from negbench.pipelines.sources.known import KNOWN

KNOBS = {"ambiguity": "ambiguity", "noise_ratio": "noise", "noise_file": "noise"}


@dataclass(frozen=True)
class DatasetEntry:
    """A registered dataset, or a well-known one that is not added yet."""

    name: str
    status: Literal["ready", "not prepared", "not added", "broken"]
    format: str | None
    images: dict[str, int]
    """Per split; empty where not known yet."""
    encoder: str
    title: str
    settings: dict[str, Any] = field(default_factory=dict)
    """What the reader was told, knobs such as ``ambiguity`` and ``noise_ratio`` among it."""
    how_to_add: str | None = None
    fault: str | None = None
    """Why it is broken."""

    @property
    def knobs(self) -> str:
        """The settings that change what is true, in words."""
        return ", ".join(f"{word} {self.settings[key]}" for key, word in KNOBS.items() if key in self.settings)


def entries() -> list[DatasetEntry]:
    """Registered datasets first."""
    added = sources.names()
    missing = [
        DatasetEntry(
            name, "not added", None, known.counts, known.encoder, known.title, how_to_add=known.how_to_add(name)
        )
        for name, known in KNOWN.items()
        if name not in added
    ]
    return [_registered(name) for name in added] + missing


def _registered(name: str) -> DatasetEntry:
    """A dataset whose own files are broken is listed as that: the others are there all the same."""
    title = KNOWN[name].title if name in KNOWN else ""
    try:
        source = sources.read(name)
    except DataError as error:
        return DatasetEntry(name, "broken", None, {}, "", title, fault=str(error))
    entry = DatasetEntry(name, "not prepared", source.format, {}, source.encoder, title, source.settings)
    path = sources.manifest_folder(name) / "dataset.json"
    if not path.exists():
        return entry
    try:
        images = {split: int(row["images"]) for split, row in read_json(path)["counts"].items()}
    except DataError as error:
        return replace(entry, status="broken", fault=f"{error}; run: bench data prepare {name}")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return replace(entry, status="broken", fault=f"{path}: not a manifest; run: bench data prepare {name}")
    return replace(entry, status="ready", images=images)
