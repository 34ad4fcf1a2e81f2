"""What tuning gained: a method with the best settings of its study against its defaults, by seeds that no trial saw."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from negbench.benchmark.results.records import RunRecord
from negbench.benchmark.results.rows import Key, row_of
from negbench.benchmark.results.significance import t_interval


@dataclass(frozen=True)
class Gain:
    """A row of defaults, and the same tuned; all in rSum of the test split but where it is said."""

    method: str
    memory: int
    n: int
    """Seeds that both came through."""
    default: float | None
    tuned: float | None
    """None where the study found nothing better than the defaults, or no seed came through."""
    gain: float | None
    low: float | None
    high: float | None
    """95 % interval over seeds, by Student's t; None of fewer than two."""
    validation_gain: float | None
    found: dict[str, Any]
    """The settings."""


def gains(records: Iterable[RunRecord]) -> list[Gain]:
    """Of the records of one dataset and recipe: a line for each method and memory that has a row with its defaults."""
    rows: dict[Key, dict[int, RunRecord]] = defaultdict(dict)
    for record in records:
        rows[row_of(record)][record.seed] = record
    found = []
    for key, cells in rows.items():
        if key.method == next(iter(cells.values())).about.method:
            tuned = [other for other in rows if other.method.startswith(f"{key.method}[tuned-")]
            same = [other for other in tuned if (other.memory, other.momentum) == (key.memory, key.momentum)]
            found.append(_gain(cells, rows[same[-1]] if same else {}))
    return sorted(found, key=lambda one: (one.memory, -(one.tuned or one.default or 0.0)))


def _gain(defaults: dict[int, RunRecord], tuned: dict[int, RunRecord]) -> Gain:
    some, best = next(iter(defaults.values())), next(iter(tuned.values()), None)
    assert some.config is not None  # a row of defaults was trained here
    seeds = [seed for seed in sorted(defaults) if defaults[seed].status == "done"]
    if tuned:
        seeds = [seed for seed in seeds if seed in tuned and tuned[seed].status == "done"]
    before = [defaults[seed].metrics["rsum"] for seed in seeds]
    after = [tuned[seed].metrics["rsum"] for seed in seeds] if tuned else []
    parts = [two - one for one, two in zip(before, after, strict=False)]
    low, high = t_interval(parts)
    validation = [tuned[seed].validation["rsum"] - defaults[seed].validation["rsum"] for seed in seeds] if tuned else []
    return Gain(
        some.config.method,
        some.config.memory,
        len(seeds),
        _mean(before),
        _mean(after),
        _mean(parts),
        low,
        high,
        _mean(validation),
        {} if best is None or best.config is None else best.config.own,
    )


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None


def told(gain: Gain) -> dict[str, Any]:
    """For CSV and JSON: a flat row."""
    row = asdict(gain)
    row["found"] = " ".join(f"{name}={value}" for name, value in sorted(gain.found.items()))
    return row
