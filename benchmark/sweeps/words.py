"""What the words of ``bench sweep`` stand for: methods, seeds, and values of a grid."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from negbench.benchmark.errors import BenchError
from negbench.methods.registry import get, names
from negbench.pipelines.errors import unknown
from negbench.pipelines.text import short

FAMILIES = ("sampler", "softmax", "other")
"""``family:sampler`` chooses negatives, ``family:softmax`` has a temperature."""
OUTSIDE = re.compile(r",(?![^\[{(]*[\]})])")
"""A comma that is in no bracket."""
RANGE = re.compile(r"(\d+)-(\d+)")
LONGEST = 10**6


def parts(text: str) -> list[str]:
    """Words between commas; those in brackets stay together."""
    return [word.strip() for word in OUTSIDE.split(text) if word.strip()]


def methods_of(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Methods with what each changes: ``all``, ``family:softmax``, ``fne``, ``fne+memory=0``, ``fne[tau_false=5]``."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for word in parts(text):
        name, bracket, inside = word.removesuffix("]").partition("[")
        kind, colon, family = word.partition(":")
        if word == "all":
            found += [(name, ()) for name in names()]
        elif colon and kind == "family":
            found += [(name, ()) for name in names() if family_of(name) == _known(family)]
        elif bracket and inside.startswith("tuned-"):
            raise BenchError(f"--methods: {short(word)}: a study found its settings; use bench tune --all")
        else:
            base, plus, rest = name.partition("+")
            found.append((base.replace("_", "-") + plus + rest, tuple(parts(inside)) if bracket else ()))
    return list(dict.fromkeys(found))


def family_of(method: str) -> str:
    """One of ``FAMILIES``."""
    from negbench.methods.base import Sampler

    kind = get(method)
    if issubclass(kind, Sampler):
        return "sampler"
    return "softmax" if "temperature" in {*kind.Settings.__dataclass_fields__} else "other"


def _known(family: str) -> str:
    if family not in FAMILIES:
        raise BenchError(f"--methods: {unknown('family', family, FAMILIES)}")
    return family


def seeds_of(text: str) -> list[int]:
    """``3`` is how many, from 0 on; ``3,4``, ``0-4`` and ``7,`` are seeds."""
    found: list[int] = []
    for word in parts(text):
        ends = RANGE.fullmatch(word)
        if not ends and not word.isdecimal():
            raise BenchError(f"--seeds {short(text)}: write 3 for so many, 3,4 or 0-4 for which")
        first, last = (int(ends[1]), int(ends[2])) if ends else (int(word), int(word))
        if last - first >= LONGEST or last >= 2**31:
            raise BenchError(f"--seeds {short(text)}: seeds lie below {2**31:,}, and so many are too many")
        found += range(first, last + 1)
    if text.strip().isdecimal():
        found = list(range(min(found[0], LONGEST)))
    if not found:
        raise BenchError(f"--seeds {short(text)}: names none; write 3 for so many, 3,4 or 0-4 for which")
    return list(dict.fromkeys(found))


def changes_of(flags: Mapping[str, Any], changes: Sequence[str]) -> tuple[str, ...]:
    """``--set`` words of flags that have a value, before those that were given."""
    return (*(f"{key}={value}" for key, value in flags.items() if value is not None), *changes)


def grid_of(changes: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every combination of ``key=a,b``; a list in brackets is one value."""
    ways = []
    for change in changes:
        key, sign, text = change.partition("=")
        ways.append([f"{key}={value}" for value in parts(text)] if sign and len(parts(text)) > 1 else [change])
    yield from product(*ways)
