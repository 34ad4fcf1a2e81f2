"""What a JSON file holds, by its keys: said where no reader takes it, or the one that was guessed cannot read it."""

from pathlib import Path
from typing import Any

from negbench.pipelines.errors import DataError
from negbench.pipelines.reading.annotations import entry, read_json

KINDS = {
    "karpathy": ({"images"}, {"filename", "sentences", "split"}),
    "coco": ({"images", "annotations"}, {"id", "file_name"}),
}
"""Format to the keys of its object, and to those of the first of its images."""
PAIR = {"image", "caption"}
MOST_BYTES = 2**27
"""Of a file that is looked into."""
MOST = 8
"""Keys to show."""


def json_kind(path: Path) -> tuple[str, str | None]:
    """What a JSON file holds, in a few words, and the format that holds the like, if one does."""
    if path.stat().st_size > MOST_BYTES:
        return f"{path.stat().st_size / 1e6:,.0f} MB that were not looked into", None
    value = read_json(path)
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, dict):
        return f"a {type(value).__name__}", None
    words = f"{'a list of objects' if isinstance(value, list) else 'an object'} with {_keys(first)}"
    if isinstance(value, list):
        return words, "albef" if first.keys() >= PAIR else None
    images = value.get("images")
    image = images[0] if isinstance(images, list) and images and isinstance(images[0], dict) else {}
    guessed = (kind for kind, (keys, its) in KINDS.items() if value.keys() >= keys and image.keys() >= its)
    return words, next(guessed, None)


def read_as(kind: Any, path: Path, file_format: str) -> Any:
    """A JSON file as the object ``kind`` that a format has; ``DataError`` names the format and the keys seen."""
    value = read_json(path)
    try:
        return entry(kind, value, f"{path}: ")
    except DataError as error:
        seen = f", but there is an object with {_keys(value)}" if isinstance(value, dict) else ""
        raise DataError(f"{error} (read as {file_format}{seen}; --format names another)") from None


def _keys(value: dict[str, Any]) -> str:
    names = [repr(key)[1:-1][:40] for key in list(value)[:MOST]]
    more = f" and {len(value) - MOST:,} more" if len(value) > MOST else ""
    return f"the keys {', '.join(names)}{more}" if names else "no keys"
