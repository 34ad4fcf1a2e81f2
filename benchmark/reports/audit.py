"""The audit of a record in a few lines."""

from collections.abc import Iterator
from pathlib import Path

from negbench.benchmark.results.records import RunRecord


def lines(folder: Path, record: RunRecord) -> Iterator[str]:
    """What it pushes and picks that is false, per direction; a line that says so where nothing is known of the pairs."""
    yield f"{folder}: {record.method_id} on {record.config.dataset}, seed {record.config.seed}"
    found = False
    for what in ("pushed", "picked"):
        shares = [
            f"{way} {100 * share:.1f}% [{100 * record.audit[f'{key}_low']:.1f}, {100 * record.audit[f'{key}_high']:.1f}]"
            for way in ("i2t", "t2i")
            if (share := record.audit.get(key := f"{what}_{way}")) is not None
        ]
        if shares:
            found = True
            yield f"  false among what it {what}: {', '.join(shares)}"
    if not found:
        yield "  nothing is known of its pairs beyond the labels"
