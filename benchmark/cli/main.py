"""``bench``: puts the sub-commands together and turns errors into one line and an exit code.

Exit codes: 0 done; 1 a run failed; 2 wrong usage or bad configuration; 3 data missing or invalid; 4 a sweep
finished with failed cells; 130 interrupted. No command file imports torch, pandas or numpy at its top.
"""

import errno
import os
from typing import Any

import typer
from typer.core import TyperGroup

from benchmark.cli import (
    compare,
    data,
    encoders,
    features,
    inspect,
    leaderboard,
    methods,
    plot,
    run,
    speed,
    sweep,
    tune,
)
from benchmark.errors import BenchError
from benchmark.screen import log
from methods.registry import RegistryError
from pipelines.errors import DataError, RequestError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space, no quota, no larger file: nothing was wrong with what was asked for."""
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""A place that may not be written or read."""


class Bench(TyperGroup):
    """Prints a known error as one line. ``BENCH_DEBUG=1`` shows the traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (BenchError, DataError, RegistryError, OSError, KeyboardInterrupt) as error:
            if os.environ.get("BENCH_DEBUG"):
                raise
            if isinstance(error, KeyboardInterrupt):
                log().print("interrupted", style="bold red", markup=False)
                raise typer.Exit(130) from None
            log().print(f"error: {one_line(error)}", style="bold red", markup=False)
            raise typer.Exit(exit_code(error)) from None


def one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in FULL:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{os.strerror(error.errno)}; make room and run the same command again"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def exit_code(error: Exception) -> int:
    if isinstance(error, BenchError):
        return error.exit_code
    if isinstance(error, OSError) and error.errno in (*FULL, *REFUSED):
        return 1
    return 3 if isinstance(error, DataError) and not isinstance(error, RequestError) else 2


app = typer.Typer(
    cls=Bench,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def bench() -> None:
    """A benchmark suite for negative sampling in image-text matching."""


app.command("methods")(methods.methods)
app.add_typer(data.app, name="data")
app.command("features")(features.features)
app.command("compare")(compare.compare)
app.command("encoders")(encoders.encoders)
app.command("inspect")(inspect.inspect)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("plot")(plot.plot)
app.command("run")(run.run)
app.command("sweep")(sweep.sweep)
app.command("tune")(tune.tune)
app.command("speed")(speed.speed)


def main() -> None:
    """Entry point of the ``bench`` command."""
    app(prog_name="bench")
