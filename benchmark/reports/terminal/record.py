"""What a cell has brought."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from negbench.benchmark.results.records import RunRecord


def show(record: RunRecord, screen: Console) -> None:
    """The recalls of the test split, and what must be known of them."""
    table = Table("", "R@1", "R@5", "R@10", "median", "mean", title=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for direction in ("i2t", "t2i"):
        values = [record.metrics[f"{direction}_{name}"] for name in ("r1", "r5", "r10", "medr", "meanr")]
        table.add_row(direction, *(f"{value:.1f}" for value in values))
    screen.print(table)
    screen.print("  ".join(_parts(record)))


def _parts(record: RunRecord) -> Iterator[str]:
    """The line below the table."""
    protocol = record.protocol
    yield f"rSum {record.metrics['rsum']:.1f}"
    yield f"{protocol.name} ({protocol.images} images, {protocol.captions} captions)"
    if "true_rsum" in record.metrics:
        yield f"true rSum {record.metrics['true_rsum']:.1f}"
    if "extended_rsum" in record.metrics:
        yield f"with extended positives {record.metrics['extended_rsum']:.1f}"
    if "both" in record.false_negative_rate:
        yield f"false negatives picked {100 * record.false_negative_rate['both']:.1f}%"
    if record.status == "collapsed":
        yield "COLLAPSED"
    for other in record.others:
        yield f"{other.protocol.name} rSum {other.metrics['rsum']:.1f}"
    config = record.config
    if config is not None and record.best_epoch is not None and record.best_epoch < config.warmup_epochs:
        yield "of the WARM-UP: no later epoch was better on validation"
