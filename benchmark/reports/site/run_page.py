"""A run's page: its recipe, where it ran, its history, similarities and audit, and its hashes."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.evaluation.similarities import read_similarities
from negbench.benchmark.recipe.schema import Execution, Judging, Naming, Recipe, RunConfig
from negbench.benchmark.reports.numbers import MISSING
from negbench.benchmark.reports.site.charts import Chart, chart
from negbench.benchmark.reports.site.commands import command_of
from negbench.benchmark.reports.site.contents import Contents
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import RunRecord, check_arrays, content
from negbench.benchmark.results.rows import EXTERNAL, describe

MOST_EPOCHS = 100
"""Rows of a history; of a longer one so many are shown, evenly spread."""
KINDS = {"positive": "positives", "negative": "negatives", "false_negative": "false negatives"}
"""Of the test's pairs, as ``similarities.npz`` calls them."""
COARSER = 4
"""Bins drawn as one."""
DIGESTS = ("config_hash", "recipe_hash", "manifest_hash", "features_hash", "code_hash", "ranks_sha256")


def run_page(contents: Contents, cell: Recorded, method_stem: str) -> dict[str, Any]:
    """What its template needs."""
    record = cell.record
    config = record.config
    rows = _history(cell)
    step = max(1, -(-len(rows) // MOST_EPOCHS))
    return {
        "title": f"{record.method_id} on {record.dataset}, seed {record.seed}",
        "place": contents.place(cell),
        "method": method_stem,
        "record": record,
        "facts": [(name, value) for name, value in _facts(record) if value not in (None, "")],
        "metrics": _numbers(record.metrics),
        "others": [(describe(other.protocol), _numbers(other.metrics)) for other in record.others],
        "recipe": _keys(config, (Naming, Recipe)) if config else [],
        "own": sorted((key, str(value)) for key, value in config.own.items()) if config else [],
        "execution": _keys(config, (Execution, Judging)) if config else [],
        "columns": list(dict.fromkeys(key for row in rows for key in row)),
        "history": [row for place, row in enumerate(rows) if place % step == 0 or place == len(rows) - 1],
        "epochs": len(rows),
        "curves": [each for each in _curves(rows) if each],
        "similarities": _similarities(cell),
        "audit": _numbers(record.audit),
        "validation": _numbers(record.validation),
        "command": command_of(config) if config else "",
        "digests": [(name, getattr(record, name)) for name in DIGESTS if getattr(record, name)],
        "number": number,
    }


def _facts(record: RunRecord) -> Iterator[tuple[str, Any]]:
    yield "status", record.status
    yield "error", record.error
    yield "protocol", describe(record.protocol)
    if record.external is not None:
        yield "trained", f"elsewhere ({EXTERNAL}); given: {record.external.given}"
        yield "members", "; ".join(map(str, record.external.members))
        yield "note", record.external.note
    if record.config is not None:
        yield "encoder", record.config.encoder
        yield "memory", f"{record.config.memory:,}" if record.config.memory else "in batch"
    yield "best epoch, from 1", None if record.best_epoch is None else record.best_epoch + 1
    for way, rate in record.false_negative_rate.items():
        yield f"false among what it picked in training, {way}", f"{rate:.2%}"
    if record.cost is not None:
        yield "training", f"{record.cost.wall_s:,.1f} s"
        busy = "; the machine was busy, so it tells little" if record.cost.busy else ""
        yield "step", f"{record.cost.step_ms:.2f} ms (bare products {record.cost.product_ms:.2f} ms){busy}"
        yield "peak memory", f"{record.cost.peak_mb:,.0f} MiB"
    yield "device", record.device
    yield "created", record.created
    yield "commit", f"{record.commit}{', with changes' if record.dirty else ''}" if record.commit else None
    yield "versions", ", ".join(f"{name} {version}" for name, version in sorted(record.versions.items()))


def number(value: float | None) -> str:
    """Short, and as exact as a person reads it."""
    return MISSING if value is None else f"{value:,.0f}" if value == round(value) else f"{value:.5g}"


def _numbers(values: dict[str, float]) -> list[tuple[str, str]]:
    return [(name, number(value)) for name, value in values.items()]


def _keys(config: RunConfig, parts: tuple[Any, ...]) -> list[tuple[str, str, bool, str]]:
    """Key, value, whether it is another than the default, meaning."""
    return [
        (name, str(value), value != field.get_default(call_default_factory=True), field.description or "")
        for part in parts
        for name, field in part.model_fields.items()
        for value in [getattr(config, name)]
    ]


def _history(cell: Recorded) -> list[dict[str, float]]:
    try:
        return cell.history
    except NoDataError:  # trained elsewhere, failed, or broken
        return []


def _curves(rows: list[dict[str, float]]) -> Iterator[Chart | None]:
    def of(*names: str, factor: float = 1) -> dict[str, list[tuple[float, float]]]:
        return {
            name: [(row.get("epoch", 0) + 1, factor * row[name]) for row in rows if name in row]
            for name in names
            if any(name in row for row in rows)
        }

    yield chart("Validation rSum by epoch", "epoch", of("val_rsum"))
    false = of("false_negative_i2t", "false_negative_t2i", "val_pushed_i2t", "val_pushed_t2i", factor=100)
    yield chart("False among what it picked, and among what it pushed on validation, in percent", "epoch", false, True)


def _similarities(cell: Recorded) -> Chart | None:
    """Densities of the test's pairs; None where the record has none."""
    if "similarities.npz" not in cell.record.files:
        return None
    path = cell.folder / "similarities.npz"
    try:
        check_arrays(path)
        content(cell.folder, cell.record, path.name)
        found = read_similarities(path)
    except NoDataError:
        return None
    edges = np.asarray(found["edges"], dtype=np.float64)[::COARSER]
    lines = {}
    for kind, name in KINDS.items():
        counts = np.asarray(found.get(f"test_{kind}", ()), dtype=np.float64)
        if counts.shape == (len(found["edges"]) - 1,) and counts.sum() > 0:
            some = counts.reshape(-1, COARSER).sum(axis=1)
            there = np.flatnonzero(some)
            part = slice(max(there[0] - 1, 0), there[-1] + 2)
            density = some / (some.sum() * (edges[1] - edges[0]))
            middles = (edges[:-1] + edges[1:]) / 2
            lines[name] = list(zip(middles[part].tolist(), density[part].tolist(), strict=True))
    return chart("Similarities of the test's pairs: density", "similarity", lines, zero=True)
