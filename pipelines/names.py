"""What may be a name: one part of a path, and one word of a command, wherever it comes from."""

import re

from negbench.pipelines.errors import RequestError
from negbench.pipelines.text import short

DATASET = re.compile(r"[a-z0-9][a-z0-9_-]*")
LONGEST_DATASET = 100
"""Letters: stages and files are named by it, with more behind."""
MARKS = "+:@/-_.,=~ "
"""What an encoder's name may have besides letters and digits: a model's folder stands in it. To a shell, none of them
means anything within quotes, and to a table or a terminal neither."""
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""Names that some systems keep for devices: no folder can have them there."""
LONGEST = 200
"""Bytes of an encoder's name: a folder is named by it, and most disks take 255."""


def check_dataset(name: str) -> str:
    """The name of a dataset; ``RequestError`` where it can be none."""
    if not DATASET.fullmatch(name):
        raise RequestError(
            f"dataset name '{_shown(name)}': use small letters, digits, - and _, a letter or digit first"
        )
    if name in RESERVED:
        raise RequestError(f"dataset name '{name}': some systems keep it for a device; use another")
    if len(name) > LONGEST_DATASET:
        raise RequestError(f"dataset name '{_shown(name)}': use at most {LONGEST_DATASET} letters")
    return name


def check_encoder(name: str) -> None:
    """``RequestError`` where ``name`` can be no encoder's."""
    bad = next((each for each in name if not each.isalnum() and each not in MARKS), None)
    if bad is not None:
        use = f"use letters, digits, spaces and {' '.join(MARKS.strip())}"
        raise RequestError(f"encoder '{_shown(name)}': {bad!r} cannot stand in it; {use}")
    if len(name.encode()) > LONGEST:
        raise RequestError(f"encoder '{_shown(name)}': use at most {LONGEST} letters")


def _shown(name: str) -> str:
    return short(name.encode("unicode_escape").decode())
