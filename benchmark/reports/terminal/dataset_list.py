"""Which datasets there are, registered and well-known."""

from collections.abc import Sequence

from rich.table import Table

from negbench.benchmark.reports.numbers import MISSING
from negbench.benchmark.reports.screen import log, out, wide
from negbench.pipelines.sources.listing import DatasetEntry

SPLITS = ("train", "val", "test")
"""As of a manifest, without loading pandas for it."""


def show(entries: Sequence[DatasetEntry]) -> None:
    """A line per dataset, what is broken, and how to get those that are missing."""
    table = Table("dataset", "status", "format", *SPLITS, "encoder", "what it is")
    for entry in entries:
        table.add_row(
            entry.name,
            entry.status,
            entry.format or MISSING,
            *(f"{entry.images[split]:,}" if split in entry.images else MISSING for split in SPLITS),
            entry.encoder or MISSING,
            ", ".join(filter(None, (entry.title, entry.knobs))),
        )
    wide(out()).print(table)
    for entry in entries:
        if entry.fault:
            log().print(f"broken: {entry.fault}", style="red")
    if missing := [entry.name for entry in entries if entry.how_to_add]:
        log().print(f"how to get {', '.join(missing)}: bench data where NAME", style="dim")
