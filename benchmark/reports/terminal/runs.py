"""Records, a line each."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from negbench.benchmark.reports.numbers import decimal
from negbench.benchmark.reports.terminal.table import plain_table
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.rows import row_of


def told(cell: Recorded) -> dict[str, Any]:
    """For programs."""
    record = cell.record
    key = row_of(record)
    return {
        "folder": str(cell.folder),
        "method": record.method_id,
        "dataset": record.dataset,
        "memory": None if key.external else key.memory,
        "seed": record.seed,
        "status": record.status,
        "rsum": record.metrics.get("rsum"),
        "created": record.created,
        "commit": record.commit,
        "recipe_hash": record.recipe_hash,
    }


def show(cells: Sequence[Recorded], screen: Console) -> None:
    """Where each is, what it is, how it ended."""
    headers = ("record", "method", "memory", "seed", "status", "rSum", "made (UTC)")
    table = plain_table(*headers, left=("record", "method", "status"), folds=("record", "method"))
    for cell in cells:
        row = told(cell)
        memory = "external" if row["memory"] is None else f"{row['memory']:,}" if row["memory"] else "in batch"
        made = row["created"][:16].replace("T", " ")
        words = (row["folder"], row["method"], memory, str(row["seed"]), row["status"], decimal(row["rsum"]), made)
        table.add_row(*(Text(word) for word in words))
    screen.print(table)
