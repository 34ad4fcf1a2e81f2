"""Every two rows of a table against each other, each row read once, and the marks against any baseline.

The figures are those of ``compare`` and ``marks``, which look at one pair or one baseline at a time: each test's sums
are linear in the rows, so a row's are made once. What the tests mean: docs/statistics.md.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.results.compare import Comparison, Significance, comparison
from negbench.benchmark.results.marks import METRICS, Side, paired, points, side
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.rows import SEEDS_TO_MARK, Group, Key, Mark, rows_of
from negbench.benchmark.results.significance import bootstrap, both, holm, interval, sign_flip_pairs

BLOCK = 32
"""Pairs tested at a time; changes memory, no result."""
Pairs = list[tuple[Key, Key]]


def every_pair(cells: Sequence[Recorded], keys: Sequence[Key], queries: int = 3) -> list[Comparison]:
    """All comparisons of a table's rows that have a finished seed in common, and the same queries.

    Args:
        cells: of the table.
        keys: the rows, in the order in which A comes before B.
        queries: how many of the most changed to name on either side.
    """
    rows = rows_of(cells)
    together: dict[tuple[int, ...], Pairs] = defaultdict(list)
    for a, b in combinations([key for key in keys if key in rows], 2):
        if seeds := tuple(sorted(rows[a].keys() & rows[b].keys())):
            together[seeds].append((a, b))
    return [found for seeds, pairs in together.items() for found in _on(seeds, pairs, rows, queries)]


def _on(
    seeds: tuple[int, ...], pairs: Pairs, rows: Mapping[Key, Mapping[int, Recorded]], queries: int
) -> Iterator[Comparison]:
    """The comparisons on the same seeds."""
    sides: dict[Key, Side] = {}
    like = rows[pairs[0][0]][seeds[0]]
    for key in dict.fromkeys(key for pair in pairs for key in pair):
        try:
            sides[key] = side(rows[key], seeds, like)
        except NoDataError:  # of other queries, which the marks of the table tell of
            continue
    able = [(a, b) for a, b in pairs if a in sides and b in sides]
    for (a, b), tests in zip(able, _tests(list(sides.values()), _places(sides, able)), strict=True):
        yield comparison((a, rows[a]), (b, rows[b]), paired(sides[a], sides[b]), tests, queries)


def _places(sides: Mapping[Key, Side], pairs: Pairs) -> NDArray[np.int64]:
    place = {key: number for number, key in enumerate(sides)}
    return np.array([(place[a], place[b]) for a, b in pairs], dtype=np.int64).reshape(-1, 2)


def _tests(sides: Sequence[Side], pairs: NDArray[np.int64]) -> Iterator[Significance]:
    """Of each pair ``[P, 2]`` of places."""
    if not len(pairs):
        return
    queries = sides[0].queries
    mean = np.stack([each.by_image.sum(axis=0) / len(each.seeds) for each in sides], axis=1)  # [C, R, 6]
    p = sign_flip_pairs(points(mean, queries), pairs)
    samples = 100 * bootstrap(mean, queries)
    samples = np.concatenate([samples, samples.sum(axis=-1, keepdims=True)], axis=-1)  # [draws, R, 7]
    for start in range(0, len(pairs), BLOCK):
        some = pairs[start : start + BLOCK]
        by_seed = np.stack([sides[a].by_image - sides[b].by_image for a, b in some], axis=2)  # [S, C, P, 6]
        parts = points(by_seed, queries)
        anew = both(parts.reshape(*parts.shape[:2], -1))
        over_both = [None] * len(some) if anew is None else anew.reshape(len(some), len(METRICS))
        for number, (a, b) in enumerate(some):
            ends = interval(samples[:, a] - samples[:, b])
            yield Significance(p[start + number], over_both[number], *ends)


def marks_by_baseline(group: Group, found: Sequence[Comparison]) -> dict[Key, dict[Key, Mark]]:
    """The marks of a table's rows against each row that may be a baseline: each its own family.

    As in the leaderboard, rows with a failed seed are neither tested nor baselines, nor are those with fewer than
    ``SEEDS_TO_MARK`` seeds in common tested.
    """
    if group.external:
        return {}
    able = {row.key for row in group.rows if "rsum" in row.stats}
    against: dict[Key, list[tuple[Key, Comparison, float]]] = defaultdict(list)
    for each in found:
        if {each.a, each.b} <= able and len(each.seeds) >= SEEDS_TO_MARK:
            against[each.b].append((each.a, each, 1.0))
            against[each.a].append((each.b, each, -1.0))
    return {baseline: _family(against[baseline]) for baseline in (row.key for row in group.rows) if baseline in against}


def _family(rows: Sequence[tuple[Key, Comparison, float]]) -> dict[Key, Mark]:
    """The rows tested against one baseline, and the sign of their differences in the comparison."""
    lines = [each.lines[-1] for _, each, _ in rows]
    p, p_both = ([line.p for line in lines], [line.p_both for line in lines])
    corrected = zip(holm(p).tolist(), holm(np.array(p_both, dtype=np.float64)).tolist(), strict=True)
    return {
        row: Mark(sign * line.difference, line.p, adjusted, line.p_both or 0.0, anew, each.over_seeds.p_t, each.seeds)
        for (row, each, sign), line, (adjusted, anew) in zip(rows, lines, corrected, strict=True)
    }
