"""How trainings show themselves: bars on a terminal, a line per epoch or cell everywhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.sweeps.sweep import Done
from negbench.benchmark.training.loop import History, Watcher


class RateColumn(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} steps/s" if task.speed else "")


class ShowTraining(Watcher):
    """Prints epochs to ``console``; use as a context manager."""

    def __init__(self, console: Console, config: RunConfig) -> None:
        self.console, self.config = console, config
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bars.add_task("training", total=None)

    def __enter__(self) -> "ShowTraining":
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def step(self, epoch: int, step: int, steps: int) -> None:
        done, total = epoch * steps + step, steps * self.config.epochs
        self.bars.update(self.task, description=f"epoch {epoch + 1}/{self.config.epochs}", completed=done, total=total)

    def epoch(self, row: History) -> None:
        self.console.print(epoch_line(row, self.config), markup=False)


def epoch_line(row: History, config: RunConfig) -> str:
    """One epoch in one line of less than 80 characters."""
    number = int(row["epoch"])
    line = f"epoch {number + 1:>2}/{config.epochs}  loss {row['loss']:.4f}  val rSum {row['val_rsum']:6.1f}"
    if "false_negative_both" in row:
        line += f"  false negatives {100 * row['false_negative_both']:4.1f}%"
    line += f"  {row['seconds']:.1f}s"
    return line + ("  warm-up" if number < config.warmup_epochs else "")


@contextmanager
def show_sweep(console: Console, cells: int) -> Iterator[Callable[[Done], None]]:
    """A bar over ``cells`` cells; yields what to call after each, which prints a line."""
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bars.add_task("cells", total=cells)

    def finished(done: Done) -> None:
        bars.advance(task)
        mark, style = ("ok", "green") if done.code == 0 else ("failed", "bold red")
        console.print(f"{mark:>6}  {done.cell.name}  {done.line}", style=style, markup=False)

    with bars:
        yield finished
