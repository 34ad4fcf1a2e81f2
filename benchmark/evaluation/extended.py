"""Metrics with extended positives: a query may have any number of them, labelled or not."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from negbench.benchmark.evaluation.metrics import CUTOFFS, check_cutoffs
from negbench.benchmark.evaluation.ranks import (
    BLOCK,
    TILE,
    Blocks,
    Products,
    Scores,
    Ties,
    check_ties,
    counted_ahead,
    position,
    whole_tiles,
)
from negbench.pipelines.rows import Indices


@dataclass(frozen=True)
class Relation:
    """Which items of a gallery are positives of which queries: pairs of rows ``[P]``, sorted, each once.

    A query that stands in no pair is not scored. A negative item stands for a positive that the gallery lacks: it
    counts as one of the query's positives, and is never found.
    """

    query: Indices
    item: Indices

    @classmethod
    def of(cls, query: Indices, item: Indices) -> "Relation":
        """Of pairs in any order, repeated or not."""
        pairs = np.unique(np.stack([query, item], axis=1).astype(np.int64), axis=0)
        return cls(pairs[:, 0], pairs[:, 1])

    @classmethod
    def of_lists(cls, lists: Mapping[int, Collection[int]]) -> "Relation":
        """Of each query's positives; ``ValueError`` names a query without any."""
        for query, items in lists.items():
            if not items:
                raise ValueError(f"query {query} has no positive; leave it out, or give it one")
        counts = [len(items) for items in lists.values()]
        items = np.fromiter((item for items in lists.values() for item in items), dtype=np.int64)
        return cls.of(np.repeat(np.fromiter(lists, dtype=np.int64), counts), items)

    @property
    def queries(self) -> Indices:
        """Indices ``[Q]`` of the queries that are scored."""
        return np.unique(self.query)


class Positives(NamedTuple):
    """Extended positives of a gallery, by rows of its images and captions."""

    i2t: Relation
    """Queries are images, items captions."""
    t2i: Relation
    """Queries are captions, items images."""


class Positions(NamedTuple):
    """1-based positions of all positives of the scored queries."""

    size: Tensor
    """``[Q]``: R, how many positives each query has."""
    position: Tensor
    """``[P]`` float64: query after query, the best positive first."""

    @property
    def first(self) -> Tensor:
        """``[Q]``: of the best positive of each query."""
        return self.position[self.size.cumsum(0) - self.size]


def extended_metrics(
    name: str, i2t: Positions, t2i: Positions, images: int, captions: int, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, float]:
    """Recalls, R-Precision and mAP@R in percent, for both directions, and the sum of recalls.

    Keys: ``<name>_i2t_r1 <name>_i2t_r5 <name>_i2t_r10 <name>_i2t_r_precision <name>_i2t_map_at_r``, the same for
    ``t2i``, and ``<name>_rsum``. A query is a hit at K when its best positive stands at K or before. With R
    positives, R-Precision is the share of them that stand at R or before; mAP@R is the sum of k / position over
    those, k counting them from the best, divided by R. (K. Musgrave et al., A Metric Learning Reality Check,
    ECCV 2020; S. Chun et al., ECCV Caption, ECCV 2022.)

    Args:
        name: what the positives are: ``true``, ``extended``, ``eccv``, ``cxc``.
        i2t: positions found by images, of captions.
        t2i: positions found by captions, of images.
        images: in the gallery.
        captions: in the gallery.
        cutoffs: K of the recalls.

    Raises:
        ValueError: a K that is larger than the gallery.
    """
    check_cutoffs(cutoffs, images, captions)
    result: dict[str, float] = {}
    for direction, found in (("i2t", i2t), ("t2i", t2i)):
        for cutoff in cutoffs:
            result[f"{name}_{direction}_r{cutoff}"] = 100 * float((found.first <= cutoff).double().mean())
    total = sum(result.values())
    for direction, found in (("i2t", i2t), ("t2i", t2i)):
        r_precision, map_at_r = precisions(found)
        result[f"{name}_{direction}_r_precision"] = 100 * float(r_precision.mean())
        result[f"{name}_{direction}_map_at_r"] = 100 * float(map_at_r.mean())
    return result | {f"{name}_rsum": total}


def precisions(found: Positions) -> tuple[Tensor, Tensor]:
    """R-Precision and mAP@R ``[Q]`` of each query, in [0, 1]."""
    count = found.size
    query = torch.arange(len(count), device=count.device).repeat_interleave(count)
    within = (found.position <= count[query]).double()
    totals = [
        within.new_zeros(len(count)).index_add_(0, query, values)
        for values in (within, within * places(count) / found.position)
    ]
    return totals[0] / count, totals[1] / count


def places(count: Tensor) -> Tensor:
    """``1 .. count`` for each query, ``[P]``."""
    start = count.cumsum(0) - count
    return torch.arange(int(count.sum()), device=count.device) - start.repeat_interleave(count) + 1


def positions(
    images: Tensor, captions: Tensor, positives: Positives, block: int = BLOCK, ties: Ties = "mid"
) -> tuple[Positions, Positions]:
    """Position of every positive of every query, from images to captions and back.

    The k-th best positive of a query stands at k + the negatives more similar than it + half of those exactly as
    similar (or what ``ties`` says, as in :func:`ranks.ranks`, whose similarities these are,
    bit for bit). So positives that tie with each other take places of their own, and with labelled pairs alone
    the first positions are the plain ranks.

    Memory beside the features: some matrices of ``block`` queries by all candidates, and some numbers for each
    positive pair.

    Args:
        images: ``[I, D]``
        captions: ``[C, D]``
        positives: of the queries that count.
        block: queries at a time, rounded up to a multiple of 64. Changes no result.
        ties: what a tied candidate counts.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, rows outside the galleries, no query.
    """
    return placed(Products(images, captions), positives, block, ties)


@torch.no_grad()
def placed(scores: Scores, positives: Positives, block: int = BLOCK, ties: Ties = "mid") -> tuple[Positions, Positions]:
    """``positions`` by any similarities, of products or not."""
    sizes = scores.shape
    scores.check(torch.zeros(sizes[1], dtype=torch.long))
    check_ties(ties)
    for relation, (queries, items) in zip(positives, (sizes, sizes[::-1]), strict=True):
        check_relation(relation, queries, items)
    side, device = whole_tiles(block), scores.device
    every = torch.arange(sizes[1], device=device)
    by_image, by_caption = (torch.from_numpy(relation.queries).to(device) for relation in positives)
    return (
        direction(stripes(scores.blocks(by_image, every, side)), positives.i2t, side, ties, device),
        direction(stripes(scores.blocks(None, by_caption, side), True), positives.t2i, side, ties, device),
    )


def check_relation(relation: Relation, queries: int, items: int) -> None:
    """``ValueError`` where rows are outside the galleries, or there is nothing to score."""
    if len(relation.query) == 0:
        raise ValueError("no query has a positive")
    if relation.query.min() < 0:
        raise ValueError(f"positives name query {relation.query.min()}")
    for rows, size, what in ((relation.query, queries, "queries"), (relation.item, items, "candidates")):
        if rows.max() >= size:
            raise ValueError(f"positives name row {rows.max()} of {size} {what}")


def stripes(grid: Blocks, of_captions: bool = False) -> Iterator[Tensor]:
    """Queries, images or captions, a block at a time: their ``[Q, N]`` similarities to all candidates."""
    for query in range(grid.columns if of_captions else grid.rows):
        parts = []
        for other in range(grid.rows if of_captions else grid.columns):
            part = grid.product(other, query).T if of_captions else grid.product(query, other)
            parts.append(part.clone())
        yield torch.cat(parts, dim=1)


def direction(blocks: Iterator[Tensor], relation: Relation, side: int, ties: Ties, device: torch.device) -> Positions:
    """Positions of one direction's positives, from the stripes of its queries."""
    _, first, count = np.unique(relation.query, return_index=True, return_counts=True)
    item = torch.from_numpy(relation.item).to(device)
    found = []
    for number, similarity in enumerate(blocks):
        counts = torch.from_numpy(count[number * side : (number + 1) * side]).to(device)
        start = int(first[number * side])
        found.append(of_stripe(similarity, counts, item[start : start + int(counts.sum())], ties))
    return Positions(torch.from_numpy(count).to(device), torch.cat(found))


def of_stripe(similarity: Tensor, count: Tensor, item: Tensor, ties: Ties) -> Tensor:
    """Positions ``[p]`` of the positives ``item [p]`` of queries that have ``count [Q]`` each; spoils ``similarity``.

    Few pairs are taken at a time, so that memory does not grow with a query's positives.
    """
    query = torch.arange(len(count), device=count.device).repeat_interleave(count)
    values = similarity[query, item].masked_fill(item < 0, -torch.inf)
    order = torch.arange(len(item), device=item.device).flip(0)  # items ascend: the later one first among ties
    order = order[values[order].sort(descending=True, stable=True).indices]
    order = order[query[order].sort(stable=True).indices]
    query, item, values = query[order], item[order], values[order]
    there = item >= 0
    similarity[query[there], item[there]] = -torch.inf
    gallery = torch.arange(similarity.shape[1], device=item.device)
    negatives = []
    for pairs in torch.split(torch.arange(len(item), device=item.device), TILE):
        rows = similarity[query[pairs]]
        later = gallery > item[pairs, None] if ties == "reference" else None
        out = counted_ahead(rows, values[pairs, None], ties, later, torch.empty_like(rows))
        negatives.append(out.sum(dim=1, dtype=torch.float64))
    found = places(count) - 1 + position(torch.cat(negatives), len(gallery), ties)
    return found.masked_fill(~there, torch.inf)
