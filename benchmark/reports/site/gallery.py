"""The gallery of false negatives: captions that are true of pictures nobody paired them with, and who notices."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from negbench.benchmark.errors import BenchError
from negbench.benchmark.evaluation.known_pairs import MATCH
from negbench.benchmark.evaluation.measures import known_pairs_of
from negbench.benchmark.exchange.cells import live_cell
from negbench.benchmark.inspection.looker import Looker
from negbench.benchmark.inspection.looks import own_method, probability
from negbench.benchmark.reports.plots.selection import Series
from negbench.benchmark.reports.site.contents import SiteTable
from negbench.benchmark.reports.site.material import Material
from negbench.benchmark.reports.site.method_page import class_of
from negbench.benchmark.results.recorded import Recorded
from negbench.methods.base import Method
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.splits import SplitIndex, split_of

QUERIES = 12
"""Captions shown of a dataset."""
SHOWN = 6
"""Pictures shown of a caption."""
BLOCK = 1000
"""Captions looked at together; changes memory, no result."""
TRUE = "true: the picture has all that the caption says (known of every pair)"


@dataclass(frozen=True)
class FalseNegative:
    """A picture that a caption is true of, though it is another's."""

    image_id: str
    row: int
    """Among the test's images."""
    evidence: str
    suspected: tuple[tuple[str, str], ...] = ()
    """Method, and how much it takes the pair for a false negative."""


@dataclass(frozen=True)
class Query:
    """A caption of the test split with some of its false negatives."""

    row: int
    """Among the test's captions."""
    caption_id: str
    image_id: str
    known: int
    """How many false negatives of it are known."""
    shown: tuple[FalseNegative, ...]


def gallery_page(each: SiteTable, material: Material) -> dict[str, Any] | None:
    """What its template needs; None where nothing is known of unpaired captions and pictures."""
    if material.manifest is None:
        return None
    split = split_of(material.manifest, "test")
    queries = list(_queries(each, material, split))
    if not queries:
        return None
    queries, asked, unable = _suspected(each, material.manifest, split, queries)
    return {
        "title": f"False negatives of {each.group.dataset}",
        "dataset": each.group.dataset,
        "images": len(split.image_ids),
        "queries": queries,
        "material": material,
        "asked": asked,
        "unable": unable,
        "judged": material.truth is None,
    }


def _queries(each: SiteTable, material: Material, split: SplitIndex) -> Iterator[Query]:
    """Captions from the least ambiguous to the most, evenly spread."""
    assert material.manifest is not None, "looked at before"
    matches = each.table.series[0].cells[0].record.about.matches
    known = known_pairs_of(split, material.manifest, material.truth, matches)
    if known is None:
        return
    every, captions = np.arange(len(split.image_ids)), np.arange(len(split.caption_ids))
    found: dict[int, list[int]] = {}
    for start in range(0, len(captions), BLOCK):
        some = captions[start : start + BLOCK]
        true = known.block(every, some) == MATCH
        true[split.caption_image[some], np.arange(len(some))] = False
        found |= {int(caption): np.flatnonzero(true[:, place]).tolist() for place, caption in enumerate(some)}
    order = sorted((row for row in found if len(found[row])), key=lambda row: (len(found[row]), split.caption_ids[row]))
    places = sorted({round(place) for place in np.linspace(0, len(order) - 1, QUERIES)}) if order else []
    evidence = _judgements(material)
    for row in (order[place] for place in places):
        name, images = split.caption_ids[row], found[row]
        shown = [FalseNegative(split.image_ids[image], image, TRUE) for image in images[:SHOWN]]
        if material.truth is None:
            shown = [replace(one, evidence=evidence.get((one.image_id, name), "judged to match")) for one in shown]
        yield Query(row, name, split.image_ids[split.caption_image[row]], len(images), tuple(shown))


def _judgements(material: Material) -> dict[tuple[str, str], str]:
    """Image and caption: what people said of them."""
    assert material.manifest is not None, "looked at before"
    told: dict[tuple[str, str], list[str]] = {}
    for image, caption, match, source in material.manifest.judgements.itertuples(index=False, name=None):
        told.setdefault((image, caption), []).append(f"{source} {match:.2f}")
    return {pair: f"judged, from 0 to 1: {', '.join(sorted(said))}" for pair, said in told.items()}


def _suspected(
    each: SiteTable, manifest: Manifest, split: SplitIndex, queries: Sequence[Query]
) -> tuple[list[Query], list[str], list[str]]:
    """The queries with what the methods suspect, the methods that were asked, and why others were not."""
    asked, unable = [], []
    by_query: list[dict[int, list[tuple[str, str]]]] = [{} for _ in queries]
    for one in _with_ideas(each):
        name = one.label
        try:
            suspicions = _ask(one.cells[0], manifest, split, queries)
        except (BenchError, DataError, RequestError, OSError):
            unable.append(name)
            continue
        asked.append(name)
        for query, found in zip(by_query, suspicions, strict=True):
            for row, p in found.items():
                query.setdefault(row, []).append((name, probability(p)))
    told = [
        replace(
            query,
            shown=tuple(replace(image, suspected=tuple(found.get(image.row, ()))) for image in query.shown),
        )
        for query, found in zip(queries, by_query, strict=True)
    ]
    return told, asked, unable


def _with_ideas(each: SiteTable) -> list[Series]:
    """A row of each method that has an idea of false negatives: the one with the smallest memory."""
    found: dict[str, Series] = {}
    for one in sorted(each.table.whole, key=lambda one: (one.row.memory, one.row.method)):
        method = class_of(one.cells[0].record.about.method)
        if not one.row.external and method is not None and method.suspicion is not Method.suspicion:
            found.setdefault(one.cells[0].record.about.method, one)
    return list(found.values())


def _ask(cell: Recorded, manifest: Manifest, split: SplitIndex, queries: Sequence[Query]) -> list[Mapping[int, float]]:
    """Of each query the suspicion of every image, by its row, as the first seed's training left its method."""
    run = live_cell(cell.folder, manifest)
    config = cell.record.config
    assert config is not None, "rows that were trained elsewhere are not asked"
    ready = own_method(run, config, 0)
    extras_of = run.extras_of([ready.method])
    return [
        Looker(run, extras_of, "t2i", int(split.caption_image[query.row]), query.row, 0).suspicion(ready.method)
        for query in queries
    ]
