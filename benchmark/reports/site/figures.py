"""The figures of a site: those of ``bench plot`` that a table has, as SVG."""

from importlib import import_module
from pathlib import Path

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.reports.plots import PICTURES
from negbench.benchmark.reports.plots.canvas import styled, write
from negbench.benchmark.reports.plots.selection import Wanted
from negbench.benchmark.reports.site.contents import SiteTable

FIGURES = {name: PICTURES[name] for name in ("curves", "picks", "reach", "cost")}
"""Name: what it shows."""
MOST_SERIES = 60
"""Of a table with more rows no picture can be read: ``bench plot --method`` draws some of them."""


def draw(each: SiteTable, folder: Path) -> dict[str, str]:
    """Draw what a table has: figure to the name of its file; those are left out that its records have nothing for."""
    if not each.group.first or len(each.table.series) > MOST_SERIES:
        return {}
    found = {}
    for name in FIGURES:
        module = import_module(f"negbench.benchmark.reports.plots.{name}")
        try:
            with styled():
                drawn = module.draw(each.table, Wanted())
                write(drawn.figure, folder / f"{name}-{each.stem}.svg")
        except NoDataError:
            continue
        found[name] = f"{name}-{each.stem}.svg"
    return found
