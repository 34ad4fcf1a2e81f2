"""Captions in several languages: which of them a dataset is made of."""

from collections.abc import Iterable
from pathlib import Path

from negbench.pipelines.errors import DataError
from negbench.pipelines.sources import Source

KEY = "languages"
"""Setting of a reader that can choose."""
USUAL = "en"
MOST_TOLD = 8


def chosen(source: Source, root: Path, found: Iterable[str]) -> list[str]:
    """The languages that were asked for, English where none was; ``DataError`` where one is not there."""
    there = sorted(set(found))
    said = source.settings.get(KEY, USUAL)
    wanted = list(dict.fromkeys(part.strip() for part in str(said).split(",")))
    for language in wanted:
        if language not in there:
            raise DataError(f"{root}: no captions in '{language[:20]}'; --languages takes {', '.join(there)}")
    return wanted


def told(wanted: list[str], found: Iterable[str]) -> str:
    """What was taken, in words."""
    others = sorted(set(found) - set(wanted))
    more = f" and {len(others) - MOST_TOLD} more" if len(others) > MOST_TOLD else ""
    also = f"; also there: {', '.join(others[:MOST_TOLD])}{more} (--languages takes them)" if others else ""
    return f"captions in {', '.join(wanted)}{also}"
