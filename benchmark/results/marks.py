"""Rows of a leaderboard on the same queries, from the ranks in their records, and the marks of a whole table.

What the tests mean: docs/statistics.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.results.plausibility import RECALLS
from negbench.benchmark.results.ranks_file import StoredRanks
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.rows import SEEDS_TO_MARK, Key, Mark
from negbench.benchmark.results.significance import Array, bootstrap, both, holm, paired_t, sign_flip

METRICS = (*RECALLS, "rsum")
DIRECTIONS = {"i2t": slice(0, 3), "t2i": slice(3, 6)}
"""Direction: its columns of ``RECALLS``."""
CUTOFFS = np.array([1, 5, 10])


@dataclass(frozen=True)
class Paired:
    """Two rows on the same queries, over the seeds that both have."""

    seeds: tuple[int, ...]
    by_seed: Array
    """``[S, C, 6]``: hits of A less hits of B, of each image's queries; columns are ``RECALLS``."""
    queries: Array
    """``[C, 6]``: queries of each image."""
    counts: dict[str, list[int]]
    """Metric: queries won, lost, tied."""
    values: tuple[Array, Array]
    """Of A and B: ``[S, 7]``, seed by metric."""
    ranks: dict[str, tuple[NDArray[np.str_], Array, Array]]
    """Direction: ids of the queries, mean rank in A, in B."""

    @property
    def difference(self) -> Array:
        """``[C, 6]``: the mean over seeds."""
        mean: Array = self.by_seed.sum(axis=0) / len(self.seeds)
        return mean

    @property
    def parts(self) -> Array:
        """``[C, 7]``: what each image adds to the difference of each metric, in points."""
        return points(self.difference, self.queries)

    @property
    def parts_by_seed(self) -> Array:
        """``[S, C, 7]``: the same of each seed."""
        return points(self.by_seed, self.queries)

    @property
    def samples(self) -> Array:
        """``[draws, 7]``: the differences in resampled test sets, in points."""
        recalls = 100 * bootstrap(self.difference, self.queries)
        return np.column_stack([recalls, recalls.sum(axis=1)])


@dataclass(frozen=True)
class Side:
    """What the ranks of a row say, over some of its seeds: read once, however many rows it is held against."""

    seeds: tuple[int, ...]
    first: StoredRanks
    """Of the first seed: the queries."""
    by_image: Array
    """``[S, C, 6]``: hits of each image's queries; columns are ``RECALLS``."""
    queries: Array
    """``[C, 6]``: queries of each image."""
    found: dict[str, NDArray[np.int64]]
    """Direction: ``[Q, 3]``, how often each query is found at the cut-off, over the seeds."""
    values: Array
    """``[S, 7]``, seed by metric."""
    ranks: dict[str, Array]
    """Direction: ``[Q]``, mean rank of each query."""


def points(hits: Array, queries: Array) -> Array:
    """``[..., 7]``: what the hits ``[..., 6]`` of each image add to each metric, in points."""
    recalls = 100 * hits / queries.sum(axis=0)
    return np.concatenate([recalls, recalls.sum(axis=-1, keepdims=True)], axis=-1)


def pair(a: Mapping[int, Recorded], b: Mapping[int, Recorded]) -> Paired:
    """The seeds that both have; ``NoDataError`` where a file is broken or the queries differ.

    Args:
        a: seed: cell of one row.
        b: of the other, of the same table.
    """
    seeds = tuple(sorted(a.keys() & b.keys()))
    like = a[seeds[0]]
    return paired(side(a, seeds, like), side(b, seeds, like))


def side(row: Mapping[int, Recorded], seeds: Sequence[int], like: Recorded) -> Side:
    """A row on these seeds; ``NoDataError`` where a file is broken, or its queries are not those of ``like``."""
    stored = [row[seed].ranks for seed in seeds]
    for seed, ranks in zip(seeds, stored, strict=True):
        if not all(np.array_equal(getattr(like.ranks, key), getattr(ranks, key)) for key in ranks._fields[2:]):
            raise NoDataError(f"{row[seed].folder}: other queries than {like.folder}; run both again with --force")
    hits = _hits(stored)
    ones = {direction: np.ones_like(found[:1]) for direction, found in hits.items()}
    return Side(
        tuple(seeds),
        stored[0],
        _by_image(hits, stored[0]),
        _by_image(ones, stored[0])[0],
        {direction: found.sum(axis=0) for direction, found in hits.items()},
        _values(hits),
        {direction: _mean(stored, direction) for direction in DIRECTIONS},
    )


def paired(a: Side, b: Side) -> Paired:
    """Two rows on the same seeds and queries."""
    gaps = {direction: a.found[direction] - b.found[direction] for direction in DIRECTIONS}
    by_metric = [*gaps["i2t"].T, *gaps["t2i"].T, np.concatenate([gap.sum(axis=1) for gap in gaps.values()])]
    counts = {metric: _count(gap) for metric, gap in zip(METRICS, by_metric, strict=True)}
    ids = {direction: getattr(a.first, f"{direction}_ids") for direction in DIRECTIONS}
    means = {direction: (ids[direction], a.ranks[direction], b.ranks[direction]) for direction in DIRECTIONS}
    return Paired(a.seeds, a.by_image - b.by_image, a.queries, counts, (a.values, b.values), means)


def _mean(stored: Sequence[StoredRanks], direction: str) -> Array:
    """``[Q]``: mean rank over the seeds."""
    return np.asarray(np.mean([getattr(each, direction) for each in stored], axis=0, dtype=np.float64))


def _hits(stored: Sequence[StoredRanks]) -> dict[str, NDArray[np.int64]]:
    """Direction: ``[S, Q, 3]``, 1 where the query is found at the cut-off."""
    positions = {direction: np.stack([getattr(each, direction) for each in stored]) for direction in DIRECTIONS}
    return {direction: (found[:, :, None] <= CUTOFFS).astype(np.int64) for direction, found in positions.items()}


def _by_image(found: dict[str, NDArray[np.int64]], of: StoredRanks) -> Array:
    """``[S, C, 6]``: what was found of each image's queries, from ``[S, Q, 3]`` per direction."""
    images, place = np.unique(of.i2t_ids, return_inverse=True)
    image_of = {"i2t": place, "t2i": np.searchsorted(images, of.t2i_images)}
    sums = np.zeros((len(images), len(found["i2t"]), len(RECALLS)))
    for direction, columns in DIRECTIONS.items():
        np.add.at(sums[:, :, columns], image_of[direction], found[direction].swapaxes(0, 1))
    return sums.swapaxes(0, 1)


def parts_of_rsum(row: Mapping[int, Recorded]) -> Array:
    """``[S, C]``: what each image adds to the rSum of each seed of a row, in points; seeds in order."""
    stored = [row[seed].ranks for seed in sorted(row)]
    hits = _hits(stored)
    queries = [hits[direction].shape[1] for direction in DIRECTIONS for _ in CUTOFFS]
    parts: Array = (100 * _by_image(hits, stored[0]) / np.array(queries)).sum(axis=2)
    return parts


def _values(hits: dict[str, NDArray[np.int64]]) -> Array:
    """``[S, 7]``: the recalls in percent, and their sum."""
    recalls = np.concatenate([100 * hits[direction].mean(axis=1) for direction in DIRECTIONS], axis=1)
    return np.column_stack([recalls, recalls.sum(axis=1)])


def _count(gap: NDArray[np.int64]) -> list[int]:
    return [int((gap > 0).sum()), int((gap < 0).sum()), int((gap == 0).sum())]


# --- A whole table ----------------------------------------------------------------------------------------------


def marks(
    rows: Mapping[Key, Mapping[int, Recorded]], baseline: Key, untested: dict[Key, str] | None = None
) -> dict[Key, Mark]:
    """Both tests of the rSum of every row against the baseline, each Holm-corrected over the rows: one family.

    A row with fewer than ``SEEDS_TO_MARK`` seeds in common with the baseline is not tested, nor part of the correction;
    nor is one of other queries, which goes into ``untested`` with its reason.
    """
    found: dict[Key, Paired] = {}
    for row in rows:
        if row != baseline and len(rows[row].keys() & rows[baseline].keys()) >= SEEDS_TO_MARK:
            try:
                found[row] = pair(rows[row], rows[baseline])
            except NoDataError as error:
                if untested is None:
                    raise
                untested[row] = str(error)
    if not found:
        return {}
    others, pairs = list(found), list(found.values())
    parts = np.column_stack([each.parts[:, -1] for each in pairs])
    p = sign_flip(parts)
    p_both = np.concatenate([both(each.parts_by_seed[:, :, -1:]) for each in pairs])
    columns = np.stack([parts.sum(axis=0), p, holm(p), p_both, holm(p_both)], axis=1).tolist()
    return {
        row: Mark(gap, one, adjusted, anew, anew_adjusted, paired_t(*(side[:, -1] for side in each.values)), each.seeds)
        for row, each, (gap, one, adjusted, anew, anew_adjusted) in zip(others, pairs, columns, strict=True)
    }
