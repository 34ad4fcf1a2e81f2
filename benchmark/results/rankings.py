"""How far a ranking of methods carries: what tables, values and seeds agree on about the order of the same methods.

Kendall's tau-b (Kendall 1945): of all pairs of methods that neither of two orders calls equal, the share that both put
the same way round, less the share that they do not. 1: the same order, 0: no relation, -1: the reverse.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from negbench.benchmark.results.leaderboard import Board
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.rows import Row, rows_of
from negbench.benchmark.results.values import ECCV, EXTENDED, PICKED, PUSHED, REACH, TRUE

Array = NDArray[np.float64]
Order = Mapping[str, float]
"""A number for each method."""

RANKED = "rsum"
"""What a table is ordered by."""
BESIDE = (TRUE, EXTENDED, ECCV, PICKED, PUSHED, *REACH)
"""What that order is held against, within a table."""
AGAIN = "other seed"
"""In place of a value: the same by another seed."""
LEAST = 5
"""Fewer methods in common have no order to speak of: of four, two orders agree wholly by chance one time in 24."""
DRAWS = 10_000
"""Resampled sets of methods."""
ENDS = (2.5, 97.5)
"""Percentiles: an interval of 95 %."""
TUNED = "[tuned-"


@dataclass(frozen=True)
class Part:
    """The rows of a table that an order is made of."""

    table: int
    """Place in ``Board.groups``."""
    memory: int
    tuned: bool
    """The best settings of a study, or the defaults where it found nothing better."""


@dataclass(frozen=True)
class Agreement:
    """Two orders of the same methods."""

    a: Part
    b: Part
    value: str
    """What ``b`` is ordered by, of ``VALUES``; ``a`` is by rSum. ``AGAIN``: the mean over all pairs of seeds."""
    methods: int
    """In common."""
    tau: float
    low: float
    high: float
    """Over methods drawn anew, percentiles: what other methods of this kind might give. It knows nothing of seeds."""


def agreements(board: Board) -> list[Agreement]:
    """Each order with itself by other seeds, with the other values of its rows, and with those of other parts.

    Two parts are held against each other where they differ in one thing: the table, the memory, or whether they are
    tuned. Two orders with fewer than ``LEAST`` methods in common are left out.
    """
    parts = dict(_parts(board))
    found: list[Agreement | None] = []
    for part, rows in parts.items():
        found += _within(part, rows, board.cells[part.table])
    for a, b in combinations(parts, 2):
        if (a.table != b.table) + (a.memory != b.memory) + (a.tuned != b.tuned) == 1:
            found.append(_agreement(a, b, RANKED, [(_means(parts[a], RANKED), _means(parts[b], RANKED))]))
    return [line for line in found if line is not None]


def tau(signs_a: Array, signs_b: Array, weights: Array) -> Array:
    """Kendall's tau-b ``[W]`` for each row of ``weights`` ``[W, N]``: how often each of N methods counts.

    Args:
        signs_a: ``[N, N]``: the sign of each method's value less each other's.
        signs_b: the same of the other order.
        weights: whole numbers; a method that counts twice makes no pair with itself.
    """
    agreed, one, two = (
        ((weights @ signs) * weights).sum(axis=1) for signs in (signs_a * signs_b, signs_a**2, signs_b**2)
    )
    found: Array = np.divide(agreed, np.sqrt(one * two), out=np.zeros_like(agreed), where=one * two > 0)
    return found


def _parts(board: Board) -> Iterator[tuple[Part, dict[str, Row]]]:
    """Rows by the name of their method. Tables of further protocols are the same trainings, and are left out."""
    for place, group in enumerate(board.groups):
        rows = [row for row in group.rows if group.first and not row.external and RANKED in row.stats]
        for memory in sorted({row.memory for row in rows}):
            of_memory = [row for row in rows if row.memory == memory]
            plain = {row.method: row for row in of_memory if TUNED not in row.method}
            tuned = {row.method.partition(TUNED)[0]: row for row in of_memory if TUNED in row.method}
            yield Part(place, memory, tuned=False), plain
            if tuned:
                yield Part(place, memory, tuned=True), plain | tuned


def _within(part: Part, rows: Mapping[str, Row], cells: Sequence[Recorded]) -> Iterator[Agreement | None]:
    seeds = rows_of(cells)
    runs = {method: seeds[row.key] for method, row in rows.items()}
    common = sorted(set.intersection(*({*cells} for cells in runs.values()))) if runs else []
    again = [{method: of[seed].record.metrics[RANKED] for method, of in runs.items()} for seed in common]
    if len(again) > 1:
        yield _agreement(part, part, AGAIN, list(combinations(again, 2)))
    for value in BESIDE:
        yield _agreement(part, part, value, [(_means(rows, RANKED), _means(rows, value))])


def _means(rows: Mapping[str, Row], value: str) -> dict[str, float]:
    return {method: row.stats[value].mean for method, row in rows.items() if value in row.stats}


def _agreement(a: Part, b: Part, value: str, orders: Sequence[tuple[Order, Order]]) -> Agreement | None:
    """The mean of several pairs of orders of the same methods; None of too few methods, or where all are equal."""
    methods = sorted(orders[0][0].keys() & orders[0][1].keys())
    if len(methods) < LEAST:
        return None
    signs = [(_signs(one, methods), _signs(two, methods)) for one, two in orders]
    if not all(one.any() and two.any() for one, two in signs):
        return None
    draws = np.random.default_rng(0).multinomial(len(methods), [1 / len(methods)] * len(methods), DRAWS)
    weights = np.concatenate([np.ones((1, len(methods))), draws])
    found = np.mean([tau(one, two, weights) for one, two in signs], axis=0)
    low, high = np.percentile(found[1:], ENDS)
    return Agreement(a, b, value, len(methods), float(found[0]), float(low), float(high))


def _signs(order: Order, methods: Sequence[str]) -> Array:
    values = np.array([order[method] for method in methods])
    signs: Array = np.sign(values[:, None] - values[None, :])
    return signs
