"""What can encode pictures and captions."""

from collections.abc import Sequence

from rich.table import Table

from negbench.benchmark.reports.numbers import MISSING
from negbench.benchmark.reports.screen import log, out, wide
from negbench.pipelines.encoders import EncoderEntry

HINT = "FAMILY:MODEL takes any model of a hub or a folder, as ./NAME; :cls, :mean, :pooler or :projected after it"


def show(entries: Sequence[EncoderEntry]) -> None:
    """A line per encoder."""
    table = Table("encoder", "side", "size", "licence", "installed")
    table.columns[0].overflow = "fold"
    table.columns[2].justify = "right"
    for entry in entries:
        ready = "yes" if entry.installed else f"no: negbench[{entry.needs}]"
        table.add_row(
            entry.name, entry.sides, f"{entry.dim:,}" if entry.dim else MISSING, entry.licence or MISSING, ready
        )
    wide(out()).print(table)
    log().print(HINT, style="dim")
