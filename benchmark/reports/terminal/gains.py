"""What tuning gained, a line for each method and memory."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from negbench.benchmark.reports.numbers import MISSING, decimal
from negbench.benchmark.reports.terminal.study import brief
from negbench.benchmark.reports.terminal.table import plain_table
from negbench.benchmark.results.gains import Gain


def show(gains: Sequence[Gain], screen: Console) -> None:
    """Default and tuned side by side, the highest first."""
    headers = ("method", "memory", "n", "default", "tuned", "gain", "95 % interval", "on validation", "found")
    table = plain_table(*headers, left=(headers[0], headers[-1]), folds=(headers[-1],))
    for one in gains:
        interval = MISSING if one.low is None else f"{one.low:+.1f} to {one.high:+.1f}"
        found = " ".join(f"{name}={brief(value)}" for name, value in sorted(one.found.items()))
        numbers = decimal(one.default), decimal(one.tuned), decimal(one.gain, sign=True), interval
        memory = f"{one.memory:,}" if one.memory else "in batch"
        validation = decimal(one.validation_gain, sign=True)
        table.add_row(one.method, memory, str(one.n), *numbers, validation, found)
    screen.print(table)
    legend = (
        "rSum of the test split, mean over n seeds that no trial saw. Interval of the gain: over seeds (Student's t),"
        " on these images. No tuned value: no trial beat the defaults on validation."
    )
    screen.print(Text(legend, style="dim"))
