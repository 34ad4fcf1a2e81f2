"""What changed in a dataset."""

from rich.console import Console

from negbench.pipelines.diff import Diff
from negbench.pipelines.text import one_line


def show(name: str, revision: str, found: Diff, screen: Console) -> None:
    """A line per kind of change, with examples."""
    if not found.changes:
        screen.print(f"{name}: the same as at {revision} ({found.new[:8]})")
        return
    screen.print(f"{name}: {revision} ({found.old[:8]}) → now ({found.new[:8]})")
    for change in found.changes:
        table = change.table.removesuffix("s") if change.count == 1 else change.table
        screen.print(f"{change.count:,} {table} {change.what}", style="bold")
        for example in [*change.examples, *(["…"] if change.count > len(change.examples) > 0 else [])]:
            screen.print(f"  {one_line(example)}")
