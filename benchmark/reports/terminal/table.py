"""The tables without a frame, of numbers mostly."""

from collections.abc import Collection

from rich import box
from rich.table import Table


def plain_table(*headers: str, left: Collection[str] = (), folds: Collection[str] = (), padding: int = 1) -> Table:
    """A table without rows; all columns but those named ``left`` stand to the right.

    Args:
        headers: one per column.
        left: headers of columns of words.
        folds: headers of columns that break their text where the screen is narrow.
        padding: between two columns, besides the one space of the frame that is not there.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, padding, 0, 0), show_edge=False, header_style="dim")
    for header in headers:
        table.add_column(
            header,
            justify="left" if header in left else "right",
            no_wrap=header not in folds,
            overflow="fold" if header in folds else "ellipsis",
        )
    return table
