"""Which records somebody means: ``method=fne memory=2048 seed=0-2``."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import RunRecord
from negbench.pipelines.errors import unknown
from negbench.pipelines.text import short

OF_A_RECORD: dict[str, Callable[[RunRecord], Any]] = {
    "method": lambda record: record.method_id,
    "dataset": lambda record: record.dataset,
    "seed": lambda record: record.seed,
    "status": lambda record: record.status,
    "commit": lambda record: record.commit or "",
    "device": lambda record: record.device,
}
KEYS = (*OF_A_RECORD, *(name for name in RunConfig.model_fields if name not in (*OF_A_RECORD, "settings")))
RANGE = re.compile(r"(\d+)-(\d+)")


def chosen(cells: Iterable[Recorded], where: str) -> list[Recorded]:
    """The cells that all words are true of; ``BenchError`` names the word that is none.

    A word is ``key=value``: a key of the recipe, or ``method`` (with or without its settings), ``dataset``, ``seed``,
    ``status``, ``commit`` (its beginning), ``device``. Several values stand between commas, a range is ``0-2``.
    """
    words = [_word(word) for word in where.split()]
    return [cell for cell in cells if all(fits(cell.record, key, values) for key, values in words)]


def fits(record: RunRecord, key: str, values: list[str]) -> bool:
    """Whether a record has one of these values."""
    found = OF_A_RECORD[key](record) if key in OF_A_RECORD else getattr(record.config, key, None)
    said = str(found).lower() if isinstance(found, bool) else str(found)
    return any(_fits(key, said, found, value) for value in values)


def _fits(key: str, said: str, found: Any, value: str) -> bool:
    if key == "method":
        value = value.replace("_", "-") if "[" not in value else value
        return value in (said, said.partition("[")[0])
    if key == "commit":
        return bool(value) and said.startswith(value)
    ends = RANGE.fullmatch(value)
    if ends and isinstance(found, int):
        return int(ends[1]) <= found <= int(ends[2])
    if isinstance(found, float):
        try:
            return found == float(value)
        except ValueError:
            return False
    return said == value


def _word(word: str) -> tuple[str, list[str]]:
    key, sign, text = word.partition("=")
    key = key.replace("-", "_")
    if not sign:
        raise BenchError(f"--where: {short(word)}: write it as key=value")
    if key not in KEYS:
        raise BenchError(f"--where: {unknown('key', key, KEYS)}")
    return key, re.split(r",(?![^\[]*\])", text)
