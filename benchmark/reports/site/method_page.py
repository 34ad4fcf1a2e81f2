"""A method's page: what it is, its settings, every result, its curves, what it picks, what it costs."""

import inspect
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from negbench import methods
from negbench.benchmark.errors import NoDataError
from negbench.benchmark.reports.numbers import MISSING
from negbench.benchmark.reports.plots.curves import of_series
from negbench.benchmark.reports.plots.selection import Series, readable
from negbench.benchmark.reports.site.charts import Chart, chart
from negbench.benchmark.reports.site.contents import Contents, SiteTable, method_of
from negbench.benchmark.reports.tables.sheet import BETTER, WORSE, memory, remark, setting, title
from negbench.benchmark.reports.terminal.method import settings_of
from negbench.benchmark.results.rows import EXTERNAL, Row, Stat
from negbench.benchmark.results.values import PICKED, PUSHED, TRUE
from negbench.methods.base import Method, Sampler
from negbench.methods.registry import RegistryError

WAYS = ("picks one negative", "leaves false negatives out", "pushes from all", EXTERNAL, "not installed here")
SHOWN = ("rsum", TRUE, PICKED, PUSHED, "effective", "hardness", "step_ms", "step_ratio")
"""Of every result."""
HEADERS = {
    "rsum": "rSum",
    TRUE: "true rSum",
    PICKED: "picked false %",
    PUSHED: "pushed false %",
    "effective": "candidates its push lies on",
    "hardness": "their similarity less the partner's",
    "step_ms": "step, ms",
    "step_ratio": "step / bare products",
}
PLACES = {"effective": 1, "hardness": 2}


@cache
def class_of(name: str) -> type[Method] | None:
    """The method's class; None of a model that was trained elsewhere, and of a method that cannot be had here."""
    try:
        return methods.get(name) if name in methods.names() else None
    except RegistryError:
        return None


def way_of(name: str) -> str:
    """How a method chooses, for the filter of a table; by its class, so that a new one needs no list."""
    if name.endswith(f" ({EXTERNAL})"):
        return EXTERNAL
    found = class_of(name)
    if found is None:
        return WAYS[-1]
    if issubclass(found, Sampler):
        return WAYS[0]
    return WAYS[1] if found.suspicion is not Method.suspicion else WAYS[2]


def method_page(contents: Contents, name: str) -> dict[str, Any]:
    """What its template needs."""
    found = class_of(name)
    results = [
        _result(contents, each, series)
        for each in contents.tables
        if (series := [one for one in each.table.series if method_of(one) == name])
    ]
    return {
        "title": name,
        "way": way_of(name),
        "rule": _plain(inspect.cleandoc(found.__doc__ or "")) if found else "",
        "text": _plain((sys.modules[found.__module__].__doc__ or "").strip()) if found else "",
        "source": _source(found) if found else "",
        "settings": settings_of(found.Settings) if found else [],
        "needs": found.needs if found else (),
        "headers": HEADERS,
        "results": results,
    }


def _plain(text: str) -> str:
    """A docstring without its marks of code."""
    return text.replace("``", "")


def _source(found: type[Method]) -> str:
    """The file of a method of the suite; empty where it cannot be read."""
    try:
        return inspect.getsource(sys.modules[found.__module__])
    except (OSError, TypeError):
        return ""


def _result(contents: Contents, each: SiteTable, series: Sequence[Series]) -> dict[str, Any]:
    keys = [key for key in SHOWN if any(key in one.row.stats for one in series)]
    return {
        "title": title(each.group),
        "setting": setting(each.group),
        "each": each,
        "keys": keys,
        "rows": [
            {
                "name": one.row.method,
                "memory": memory(each.group, one.row.key),
                "remark": remark(one.row),
                "said": "; ".join(one.row.said),
                "mark": _mark(one.row),
                "values": [_value(one.row.stats.get(key), key) for key in keys],
                "runs": [(cell.record.seed, contents.runs[cell.folder]) for cell in one.cells],
            }
            for one in series
        ],
        "curves": _curves(each, series) if each.group.first else None,
    }


def _mark(row: Row) -> str:
    if row.mark is None or not row.mark.significant:
        return ""
    return BETTER if row.mark.difference > 0 else WORSE


def _value(stat: Stat | None, key: str) -> str:
    if stat is None:
        return MISSING
    places = PLACES.get(key, 1)
    return f"{stat.mean:.{places}f}" + (f" ±{stat.std:.{places}f}" if stat.std is not None else "")


def _curves(each: SiteTable, series: Sequence[Series]) -> Chart | None:
    lines = {name: list(points) for name, points in _lines(each, series)}
    return chart("Validation rSum by epoch, mean over seeds", "epoch", lines)


def _lines(each: SiteTable, series: Sequence[Series]) -> Iterator[tuple[str, Iterator[tuple[float, float]]]]:
    for one in series:
        if one.row.external or one.row.failed:
            continue
        read, _ = readable(one)
        try:
            mean = of_series(read).mean if read.cells else []
        except NoDataError:
            continue
        name = f"{one.row.method}, {memory(each.group, one.row.key)}"
        yield name, ((float(epoch), value) for epoch, value in enumerate(mean, start=1))
