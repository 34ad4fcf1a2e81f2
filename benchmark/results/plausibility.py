"""What the numbers of a record must be among themselves: sums of their parts, shares within their intervals, whole
sets of keys. Needs no torch."""

import math
import re
from collections.abc import Iterator, Mapping

from negbench.benchmark.evaluation.protocols import Protocol, protocols_for
from negbench.benchmark.recipe.external import AUDIT_BATCH
from negbench.benchmark.results.records import Cost, RunRecord

TOLERANCE = 1e-6
"""Relative: the same ranks give the same numbers but for the order of their sums."""
ROUNDING = 1e-3
"""The same of the audit's sums in float32."""
WAYS = ("i2t", "t2i")
RECALLS = tuple(f"{way}_r{k}" for way in WAYS for k in (1, 5, 10))
PRECISIONS = tuple(f"{way}_{kind}" for way in WAYS for kind in ("r_precision", "map_at_r"))
BOUNDS = (
    (re.compile(r"(.*_)?rsum"), 0.0, 600.0),
    (re.compile(r"(.*_)?(r\d+|mr|r_precision|map_at_r)"), 0.0, 100.0),
    (re.compile(r"(.*_)?(medr|meanr)"), 1.0, math.inf),
    (re.compile(r".*similarity"), -1.001, 1.001),
)
"""What the name of a metric says of where it lies."""
EXTENDED = re.compile(rf"(.+)_(?:{'|'.join((*RECALLS, *PRECISIONS, 'rsum'))})")
"""A metric with extended positives: what they are, and the metric."""
PUSH = ("", "_low", "_high", "_judged", "_all", "_base")
ORDER = ("", "_low", "_high", "_pairs", "_anchors")
DETECTION = (("detect", "pairs"), ("detect", "matches"), ("similarity", "auc"), ("similarity", "ap"))
AUDITED = re.compile(
    r"(pushed|picked)_(i2t|t2i)(_low|_high|_judged|_all|_anchors|_base)?|(similarity|suspicion)_(i2t|t2i)_(auc|ap)"
    r"|(effective|hardness)_(i2t|t2i)|order_(i2t|t2i)(_low|_high|_pairs|_anchors|_start)?|detect_(i2t|t2i)_(pairs|matches)"
)
COUNT = re.compile(r".*_(judged|all|anchors|pairs|matches)")
"""The figures of an audit that are no shares."""


def faults(record: RunRecord) -> Iterator[str]:
    """What cannot be so, each in a few words."""
    yield from _protocols(record)
    yield from _metrics("metrics", record.metrics)
    yield from _metrics("validation", record.validation)
    for other in record.others:
        yield from _metrics(f"others.{other.protocol.name}", other.metrics)
    yield from _rates(record.false_negative_rate)
    yield from _audit(record)
    yield from _cost(record.cost)


def differing(where: str, said: Mapping[str, float], found: Mapping[str, float], source: str) -> Iterator[str]:
    """The keys of ``found`` that ``said`` has not, or has with another value."""
    for key, value in found.items():
        if key not in said:
            yield f"{where}.{key}: missing"
        elif not math.isclose(said[key], value, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{where}.{key}: {said[key]}, but {source} {value:.4f}"


def _protocols(record: RunRecord) -> Iterator[str]:
    """A dataset has its own protocols, of their own sizes."""
    dataset, protocol = record.dataset, record.protocol
    whole, *others = protocols_for(dataset, protocol.images, protocol.captions)
    if protocol != whole:
        yield f"protocol: {protocol.name!r:.60} in {protocol.folds} folds, but that of {dataset} is {whole.name!r}"
    for other in record.others:
        if other.protocol not in others:
            yield f"others: {other.protocol.name!r:.60} is no other protocol of such a test of {dataset}"


def _metrics(where: str, metrics: Mapping[str, float]) -> Iterator[str]:
    """Every number where such a number can be, sums the sums of their parts, and no set in part."""
    for key, value in metrics.items():
        if not is_possible(key, value):
            yield f"{where}.{key}: {value} cannot be"
    kinds = {match[1]: None for match in map(EXTENDED.fullmatch, metrics) if match}
    yield from _set(where, metrics, "", ())
    for kind in kinds:
        yield from _set(where, metrics, f"{kind}_", PRECISIONS)


def _set(where: str, metrics: Mapping[str, float], kind: str, more: tuple[str, ...]) -> Iterator[str]:
    """The recalls of one kind of positives: all six, in their order, and their sum."""
    if not metrics:
        return
    if missing := [f"{kind}{key}" for key in (*RECALLS, *more, "rsum") if f"{kind}{key}" not in metrics]:
        yield f"{where}.{missing[0]}: missing"
        return
    total = sum(metrics[f"{kind}{key}"] for key in RECALLS)
    found = {f"{kind}rsum": total} | ({} if kind else {"mr": total / len(RECALLS)})
    yield from differing(where, metrics, found, "its recalls give")
    for way in WAYS:
        first, fifth, tenth = (metrics[f"{kind}{way}_r{k}"] for k in (1, 5, 10))
        if not first <= fifth <= tenth:
            yield f"{where}.{kind}{way}_r1: {first} at 1, {fifth} at 5 and {tenth} at 10 cannot be"
        if more and metrics[f"{kind}{way}_map_at_r"] > metrics[f"{kind}{way}_r_precision"] + TOLERANCE:
            yield f"{where}.{kind}{way}_map_at_r: above the R-Precision"


def is_possible(key: str, value: float) -> bool:
    """Whether a metric can have this value."""
    low, high = next(((low, high) for name, low, high in BOUNDS if name.fullmatch(key)), (-math.inf, math.inf))
    return math.isfinite(value) and low <= value <= high


def _rates(rates: Mapping[str, float]) -> Iterator[str]:
    """Shares; that of both directions lies between them."""
    for key, value in rates.items():
        if not 0 <= value <= 1:
            yield f"false_negative_rate.{key}: {value} is no share"
    if not rates:
        return
    ways = [rates[way] for way in WAYS if way in rates]
    if not ways or rates.keys() - set(WAYS) != {"both"}:
        yield f"false_negative_rate: {', '.join(rates)[:60]}, not both and the directions it is of"
    elif not min(ways) - TOLERANCE <= rates["both"] <= max(ways) + TOLERANCE:
        yield f"false_negative_rate.both: {rates['both']} is not between its directions"


def _audit(record: RunRecord) -> Iterator[str]:
    """Shares in [0, 1] and in their intervals, counts of what there is, and no set in part."""
    audit = record.audit
    config = record.config
    candidates = AUDIT_BATCH if config is None else config.batch + config.memory
    most = record.protocol.captions * candidates  # pairs of one pass
    for key, value in audit.items():
        if not AUDITED.fullmatch(key):
            yield f"audit.{key:.60}: no figure of an audit"
        elif not math.isfinite(value):
            yield f"audit.{key}: {value} is not finite"
        elif COUNT.fullmatch(key):
            if value < 0 or (value > most and not key.startswith("order")):
                yield f"audit.{key}: {value} cannot be counted here"
        elif key.startswith(("effective", "hardness")):
            low, high = (1, candidates) if key.startswith("effective") else (-2, 2)
            if not low - 0.001 <= value <= high + 0.001:
                yield f"audit.{key}: {value} is not between {low} and {high}"
        elif not 0 <= value <= 1:
            yield f"audit.{key}: {value} is no share"
    for way in WAYS:
        for name in ("pushed", "picked"):
            yield from _push(audit, f"{name}_{way}", record.protocol)
        yield from _order(audit, f"order_{way}", record.protocol, way)
        yield from _detection(audit, way)


def _missing(audit: Mapping[str, float], name: str, ends: tuple[str, ...]) -> Iterator[str]:
    """The first figure that a set lacks; nothing where it has none or all."""
    has = [f"{name}{end}" in audit for end in ends]
    if any(has) and not all(has):
        yield f"audit.{name}{ends[has.index(False)]}: missing"


def _interval(audit: Mapping[str, float], name: str) -> Iterator[str]:
    low, value, high = (audit[f"{name}{end}"] for end in ("_low", "", "_high"))
    if not low <= value <= high:
        yield f"audit.{name}: {value} is not between {low} and {high}"


def _push(audit: Mapping[str, float], name: str, protocol: Protocol) -> Iterator[str]:
    """Older audits do not say how many anchors there were (docs/audit.md)."""
    if f"{name}_anchors" in audit or name.startswith("picked"):
        ends: tuple[str, ...] = (*PUSH, "_anchors")
    else:
        ends = PUSH
    lacking = [*_missing(audit, name, ends)]
    yield from lacking
    if lacking or name not in audit:
        return
    yield from _interval(audit, name)
    judged, reached, anchors = (audit.get(f"{name}{end}", protocol.captions) for end in ("_judged", "_all", "_anchors"))
    if judged > reached * (1 + ROUNDING) + ROUNDING:
        yield f"audit.{name}_judged: {judged}, of a push of {reached}"
    if "_anchors" in ends and not reached <= anchors <= protocol.captions:
        yield f"audit.{name}_anchors: {anchors}, of {protocol.captions} captions, {reached} with a push"


def _order(audit: Mapping[str, float], name: str, protocol: Protocol, way: str) -> Iterator[str]:
    lacking = [*_missing(audit, name, ORDER)]
    yield from lacking
    if f"{name}_start" in audit and name not in audit:
        yield f"audit.{name}: missing"
    if lacking or name not in audit:
        return
    yield from _interval(audit, name)
    queries, gallery = protocol.images, protocol.captions
    if way == "t2i":
        queries, gallery = gallery, queries
    anchors, pairs = audit[f"{name}_anchors"], audit[f"{name}_pairs"]
    if not 1 <= anchors <= queries or not anchors <= pairs <= anchors * (gallery / 2) ** 2:
        yield f"audit.{name}_pairs: {pairs} of {anchors} anchors cannot be"


def _detection(audit: Mapping[str, float], way: str) -> Iterator[str]:
    yield from _missing(audit, "", tuple(f"{name}_{way}_{end}" for name, end in DETECTION))
    yield from _missing(audit, f"suspicion_{way}", ("_auc", "_ap"))
    pairs, matches = audit.get(f"detect_{way}_pairs"), audit.get(f"detect_{way}_matches")
    if pairs is None and f"suspicion_{way}_auc" in audit:
        yield f"audit.detect_{way}_pairs: missing"
    if pairs is not None and matches is not None and not 0 < matches < pairs:
        yield f"audit.detect_{way}_matches: {matches} of {pairs} pairs"


def _cost(cost: Cost | None) -> Iterator[str]:
    if cost is not None:
        for key, value in cost.model_dump(exclude_none=True).items():
            if not math.isfinite(value) or value < 0 or (key == "product_ms" and value == 0):  # others are told in it
                yield f"cost.{key}: {value} cannot be"
