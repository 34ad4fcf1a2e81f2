"""The audit of a record in a few lines."""

from collections.abc import Iterator
from pathlib import Path

from negbench.benchmark.results.records import RunRecord


def lines(folder: Path, record: RunRecord) -> Iterator[str]:
    """What it pushes and picks that is false, per direction; or that nothing is known of the pairs."""
    yield f"{folder}: {record.method_id} on {record.config.dataset}, seed {record.config.seed}"
    found = False
    for what in ("pushed", "picked"):
        shares = [
            "{} {:.1%} [{:.1%}, {:.1%}]".format(
                way, *(record.audit[f"{what}_{way}{end}"] for end in ("", "_low", "_high"))
            )
            for way in ("i2t", "t2i")
            if f"{what}_{way}" in record.audit
        ]
        if shares:
            found = True
            yield f"  false among what it {what}: {', '.join(shares)}"
    if not found:
        yield "  nothing is known of its pairs beyond the labels"
