"""Every two rows of a table against each other, each row read once, and the marks against any baseline.

The figures are those of ``compare`` and ``marks``, which look at one pair or one baseline at a time: each test's sums
are linear in the rows, so a row's are made once. What the tests mean: docs/statistics.md.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.results.compare import Comparison, Significance, comparison
from negbench.benchmark.results.marks import METRICS, Side, paired, points, side
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.rows import SEEDS_TO_MARK, Group, Key, Mark, rows_of
from negbench.benchmark.results.significance import Array, bootstrap, both, holm, interval, paired_t, sign_flip_pairs

BLOCK = 32
"""Pairs tested at a time; changes memory, no result."""
Rows = Mapping[Key, Mapping[int, Recorded]]
Pairs = list[tuple[Key, Key]]


def every_pair(
    cells: Sequence[Recorded], keys: Sequence[Key], queries: int = 3, against: Key | None = None
) -> list[Comparison]:
    """All comparisons of a table's rows that have a finished seed in common, and the same queries.

    Args:
        cells: of the table.
        keys: the rows, in the order in which A comes before B.
        queries: how many of the most changed to name on either side.
        against: only the comparisons with this row.
    """
    rows = rows_of(cells)
    found = []
    for pairs, sides in _together(rows, keys, 1, against):
        for (a, b), tests in zip(pairs, _tests(list(sides.values()), _places(sides, pairs)), strict=True):
            found.append(comparison((a, rows[a]), (b, rows[b]), paired(sides[a], sides[b]), tests, queries))
    return found


def marks_by_baseline(group: Group, cells: Sequence[Recorded]) -> dict[Key, dict[Key, Mark]]:
    """The marks of a table's rows against each row that may be a baseline: each its own family.

    As in the leaderboard, rows with a failed seed are neither tested nor baselines, nor are those with fewer than
    ``SEEDS_TO_MARK`` seeds in common tested.
    """
    if group.external:
        return {}
    able = [row.key for row in group.rows if "rsum" in row.stats]
    against: dict[Key, dict[Key, _Raw]] = defaultdict(dict)
    for pairs, sides in _together(rows_of(cells), able, SEEDS_TO_MARK, None):
        for (a, b), mark in zip(pairs, _marks(list(sides.values()), _places(sides, pairs)), strict=True):
            against[b][a] = mark
            against[a][b] = mark._replace(difference=-mark.difference)
    return {baseline: _family(against[baseline], able) for baseline in able if baseline in against}


def _together(
    rows: Rows, keys: Sequence[Key], fewest: int, against: Key | None
) -> Iterator[tuple[Pairs, dict[Key, Side]]]:
    """The pairs of rows that have the same seeds in common, so many at least, and their rows on these seeds."""
    found: dict[tuple[int, ...], Pairs] = defaultdict(list)
    for a, b in combinations([key for key in keys if key in rows], 2):
        seeds = tuple(sorted(rows[a].keys() & rows[b].keys()))
        if len(seeds) >= fewest and against in (None, a, b):
            found[seeds].append((a, b))
    for seeds, pairs in found.items():
        sides = _sides(rows, seeds, list(dict.fromkeys(key for pair in pairs for key in pair)))
        able = [(a, b) for a, b in pairs if a in sides and b in sides]
        if able:
            yield able, sides


def _sides(rows: Rows, seeds: tuple[int, ...], keys: Sequence[Key]) -> dict[Key, Side]:
    """The rows on these seeds; not those of other queries than the first, which the leaderboard tells of."""
    found = {}
    for key in keys:
        try:
            found[key] = side(rows[key], seeds, rows[keys[0]][seeds[0]])
        except NoDataError:
            continue
    return found


def _places(sides: Mapping[Key, Side], pairs: Pairs) -> NDArray[np.int64]:
    place = {key: number for number, key in enumerate(sides)}
    return np.array([(place[a], place[b]) for a, b in pairs], dtype=np.int64)


def _tests(sides: Sequence[Side], pairs: NDArray[np.int64]) -> Iterator[Significance]:
    """Of each pair ``[P, 2]`` of places."""
    queries = sides[0].queries
    mean = np.stack([each.by_image.sum(axis=0) / len(each.seeds) for each in sides], axis=1)  # [C, R, 6]
    p = sign_flip_pairs(points(mean, queries), pairs)
    samples = 100 * bootstrap(mean, queries)
    samples = np.concatenate([samples, samples.sum(axis=-1, keepdims=True)], axis=-1)  # [draws, R, 7]
    parts = np.stack([points(each.by_image, queries) for each in sides], axis=2)  # [S, C, R, 7]
    for start in range(0, len(pairs), BLOCK):
        some = pairs[start : start + BLOCK]
        anew = _both(parts, some)
        over_both = [None] * len(some) if anew is None else anew.reshape(len(some), len(METRICS))
        for number, (a, b) in enumerate(some):
            ends = interval(samples[:, a] - samples[:, b])
            yield Significance(p[start + number], over_both[number], *ends)


def _both(parts: Array, pairs: NDArray[np.int64]) -> Array | None:
    """``significance.both`` of pairs of the rows ``[S, C, R, M]``: ``[P M]``."""
    gaps = parts[:, :, pairs[:, 0]] - parts[:, :, pairs[:, 1]]
    return both(gaps.reshape(*gaps.shape[:2], -1))


class _Raw(NamedTuple):
    """A mark before the correction for its family."""

    difference: float
    p: float
    p_both: float
    p_t: float | None
    seeds: tuple[int, ...]


def _marks(sides: Sequence[Side], pairs: NDArray[np.int64]) -> Iterator[_Raw]:
    """Of each pair of places: A against B in rSum."""
    parts = np.stack([points(each.by_image, each.queries)[..., -1:] for each in sides], axis=2)  # [S, C, R, 1]
    mean = parts.mean(axis=0)
    p = sign_flip_pairs(mean, pairs)[:, 0]
    gaps = mean.sum(axis=0)[:, 0]
    for start in range(0, len(pairs), BLOCK):
        some = pairs[start : start + BLOCK]
        anew = _both(parts, some)
        assert anew is not None, "there are seeds enough"
        for number, (a, b) in enumerate(some):
            p_t = paired_t(sides[a].values[:, -1], sides[b].values[:, -1])
            yield _Raw(float(gaps[a] - gaps[b]), float(p[start + number]), float(anew[number]), p_t, sides[a].seeds)


def _family(tested: Mapping[Key, _Raw], order: Sequence[Key]) -> dict[Key, Mark]:
    """The rows tested against one baseline, corrected for all of them."""
    rows = [key for key in order if key in tested]
    found = [tested[key] for key in rows]
    corrected = zip(holm([one.p for one in found]).tolist(), holm([one.p_both for one in found]).tolist(), strict=True)
    return {
        row: Mark(one.difference, one.p, adjusted, one.p_both, anew, one.p_t, one.seeds)
        for row, one, (adjusted, anew) in zip(rows, found, corrected, strict=True)
    }
