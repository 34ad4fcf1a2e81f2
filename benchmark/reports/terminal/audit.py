"""The audit of a record in a few lines."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from negbench.benchmark.results.records import RunRecord


def show(folder: Path, record: RunRecord, screen: Console) -> None:
    """What it pushes and picks that is false, per direction; or that nothing is known of the pairs."""
    for line in _lines(folder, record):
        screen.print(line)


def _lines(folder: Path, record: RunRecord) -> Iterator[str]:
    yield f"{folder}: {record.method_id} on {record.dataset}, seed {record.seed}"
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
    if "effective_i2t" in record.audit:
        words = "its push lies on {:.1f} candidates of an anchor ({}), whose similarity is that of the partner {:+.2f}"
        for way in ("i2t", "t2i"):
            yield "  " + words.format(record.audit[f"effective_{way}"], way, record.audit[f"hardness_{way}"])
    if not found:
        yield "  nothing is known of its pairs beyond the labels"
