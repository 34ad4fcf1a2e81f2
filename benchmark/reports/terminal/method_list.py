"""What there is to compare."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from negbench.benchmark.reports.screen import out


def show(lines: Sequence[dict[str, str]]) -> None:
    """A line per method, with its summary, or why it is broken."""
    table = Table("method", "what it does")
    for line in lines:
        what = Text(f"broken: {line['broken']}", style="red") if "broken" in line else Text(line["summary"])
        table.add_row(Text(line["name"]), what)
    out().print(table)
