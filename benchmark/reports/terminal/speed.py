"""What steps, evaluations and readings cost."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from negbench.benchmark.reports.numbers import MISSING

MEASURED = (
    *("method", "step_ms", "product_ms", "ratio", "extra", "peak_mb"),
    *("towers", "loss", "backward", "optimiser"),
)


def show(results: Sequence[dict[str, Any]], screen: Console) -> None:
    """A line with what is the same for all, and a table of the rest."""
    measured = [key for key in MEASURED if key in results[0]]
    same = {key: value for key, value in results[0].items() if key not in measured}
    screen.print("  ".join(f"{key} {value}" for key, value in same.items()), style="dim")
    table = Table(*measured, pad_edge=False, collapse_padding=True)
    for column in table.columns:
        column.justify = "left" if column.header == "method" else "right"
    for result in results:
        values = (result[key] for key in measured)
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in values))
    screen.print(table)


def show_data(name: str, result: dict[str, Any], screen: Console) -> None:
    """A line of the whole store and a table with a row per file, in megabytes per second."""
    facts = (
        f"{name}  {result['dtype']}  opening {result['open_s']:.1f} s  batch of {result['batch']}"
        f" {result['batch_ms']:.2f} ms  peak memory {result['peak_mb']:,.0f} MB, mapped pages included"
    )
    screen.print(facts, style="dim")
    table = Table("file", "GB")
    table.columns[0].no_wrap = True
    for heat in ("cold", "warm"):
        table.add_column(f"{heat} MB/s\nin order", justify="right")
        table.add_column("\nshuffled", justify="right")
        table.add_column("\nratio", justify="right")
    for file in result["files"]:
        cells = [file["name"].removeprefix("train_").removesuffix(".npy").replace("_", " ")]
        cells.append(_number(file["bytes"], 1e9, 2))
        for heat in ("cold", "warm"):
            cells += [_number(file[f"{heat}_{way}"], 1e6, 0) for way in ("in_order", "shuffled")]
            cells.append(_number(file[heat], 1, 2))
        table.add_row(*cells)
    screen.print(table)


def show_pixels(result: dict[str, Any], screen: Console) -> None:
    """A line with what was read, and a table of what a batch takes."""
    facts = "{images:,} pictures of {size} x {size}  recipe {recipe}  batch of {batch}  {device}, {threads} threads"
    screen.print(facts.format(**result), style="dim")
    table = Table("", "ms", "images/s", "to the step")
    for column in table.columns[1:]:
        column.justify = "right"
    step = result["rows"]["step"]["ms"]
    for name, row in result["rows"].items():
        table.add_row(name, f"{row['ms']:,.2f}", f"{row['images_per_s']:,.0f}", f"{row['ms'] / step:.3f}")
    screen.print(table)


def show_operations(found: Sequence[dict[str, Any]], screen: Console) -> None:
    """A table with a row for each method."""
    first = found[0]
    screen.print(f"batch {first['batch']}  memory {first['memory']}  dim {first['dim']}", style="dim")
    columns = {"all": "loss step", "forward": "of it forward", "step": "training step"}
    if "compiled" in first:
        columns |= {"compiled": "loss step, compiled", "compiled_step": "training step, compiled"}
    table = Table("method", *columns.values())
    for column in table.columns[1:]:
        column.justify = "right"
    for row in found:
        counts = (row[key] for key in columns)
        table.add_row(row["method"], *(MISSING if count is None else str(count) for count in counts))
    screen.print(table)


def _number(value: float | None, unit: float, digits: int) -> str:
    return MISSING if value is None else f"{value / unit:,.{digits}f}"
