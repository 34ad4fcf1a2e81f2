"""How often the trainings of one method, split at random in two groups, would be marked as two methods that differ.

The method is the same on both sides, so every mark is false. What the tests mean: docs/statistics.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.results.integrity import survey
from negbench.benchmark.results.marks import parts_of_rsum
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import RUNS
from negbench.benchmark.results.rows import ALPHA, Key, by_table, rows_of
from negbench.benchmark.results.significance import T_SEEDS, both, sign_flip
from negbench.pipelines import sources
from negbench.pipelines.errors import unknown

CHUNK = 100
"""Splits at a time; changes memory, no result."""


@dataclass(frozen=True)
class Rate:
    """Of one row: shares of the splits with p < 0.05, uncorrected, as a split is a family of its own."""

    dataset: str
    row: Key
    recipe_hash: str
    seeds: int
    side: int
    """Seeds in either group."""
    splits: int
    images: float
    """Of the test over images alone."""
    both: float
    """Of the test over trainings and images alone."""
    mark: float
    """Of the two together: what would be a mark."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"row": self.row.told}


def rates(
    root: Path = RUNS, dataset: str | None = None, sides: Sequence[int] = (3, 5), splits: int = 1000
) -> list[Rate]:
    """Of every row that has seeds enough for two groups.

    Args:
        root: folder of the records.
        dataset: only this one.
        sides: sizes of a group.
        splits: random ones, per row and size.

    Raises:
        NoDataError: no row has seeds enough, or broken ranks.
    """
    everything = survey(root)[0]
    there = {*sources.names(), *(cell.record.dataset for cell in everything)}
    if dataset is not None and dataset not in there:
        raise NoDataError(unknown("dataset", dataset, there))
    cells = [cell for cell in everything if dataset in (None, cell.record.dataset)]
    found = [
        rate(key, row, side, splits)
        for table in by_table(cells).values()
        for key, row in sorted(rows_of(table).items())
        for side in sides
        if len(row) >= 2 * side
    ]
    if not found:
        raise NoDataError(
            f"no row in {root} has {2 * min(sides)} seeds or more, which two groups of {min(sides)} need;"
            " run more seeds of a method"
        )
    return found


def rate(key: Key, row: Mapping[int, Recorded], side: int, splits: int, seed: int = 0) -> Rate:
    """Of one row; random splits from a fixed seed, which overlap where the seeds are few."""
    parts, first = parts_of_rsum(row), next(iter(row.values())).record
    images, over_both = map(np.concatenate, zip(*_tested(parts, side, splits, seed), strict=True))
    return Rate(
        first.dataset,
        key,
        first.recipe_hash,
        len(row),
        side,
        splits,
        *(float(found.mean()) for found in (images, over_both, images & over_both)),
    )


def _tested(
    parts: NDArray[np.float64], side: int, splits: int, seed: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Per chunk of splits: whether either test is below ``ALPHA``."""
    random = np.random.default_rng(seed)
    for start in range(0, splits, CHUNK):
        orders = [random.permutation(len(parts)) for _ in range(min(CHUNK, splits - start))]
        gaps = np.stack([parts[order[:side]] - parts[order[side : 2 * side]] for order in orders], axis=2)
        anew = both(gaps)
        assert anew is not None, f"groups of {T_SEEDS} or more"
        yield sign_flip(gaps.mean(axis=0)) < ALPHA, anew < ALPHA
