"""``bench``: puts the sub-commands together and turns errors into one line and an exit code.

Exit codes: 0 done; 1 a run failed; 2 wrong usage or bad configuration; 3 data missing or invalid; 4 a sweep
finished with failed cells; 130 interrupted. No command file imports torch, pandas or numpy at its top.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from benchmark.cli import (
    compare,
    data,
    encoders,
    false_marks,
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
from pipelines.errors import DataError, RequestError, invalid

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space, no quota, no larger file: nothing was wrong with what was asked for."""
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""A place that may not be written or read."""


WrongUsage: type[Exception] = typer.BadParameter.__mro__[2]
"""What the parser raises: click's own error, of the copy that Typer carries."""


class Bench(TyperGroup):
    """Prints a known error as one line. ``BENCH_DEBUG=1`` shows the traceback."""

    def make_context(self, *words: Any, **more: Any) -> Any:
        with told():
            return super().make_context(*words, **more)

    def invoke(self, ctx: Any) -> Any:
        with told():
            return super().invoke(ctx)


@contextmanager
def told() -> Iterator[None]:
    """A known error inside is one line on stderr and the exit code."""
    try:
        yield
    except (BenchError, DataError, RegistryError, OSError, KeyboardInterrupt, WrongUsage) as error:
        if os.environ.get("BENCH_DEBUG") or type(error).__name__ == "NoArgsIsHelpError":
            raise
        if isinstance(error, BrokenPipeError):  # whoever reads had enough: Typer ends quietly
            raise
        if isinstance(error, KeyboardInterrupt):
            log().print("interrupted", style="bold red", markup=False)
            raise typer.Exit(130) from None
        log().print(f"error: {one_line(error)}", style="bold red", markup=False)
        raise typer.Exit(exit_code(error)) from None


def one_line(error: Exception) -> str:
    if isinstance(error, WrongUsage):
        return wrong_usage(error)
    if isinstance(error, OSError) and error.errno in FULL:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{os.strerror(error.errno)}; make room and run the same command again"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def wrong_usage(error: Any) -> str:
    """What the parser says, or pydantic in its place, and where to read more."""
    if isinstance(error.__cause__, ValidationError) and getattr(error, "param", None):
        said = f"{error.param.opts[0]}: {invalid(error.__cause__)}"
    else:
        said = " ".join(error.format_message().split())
        said = f"{said[:1].lower()}{said[1:]}".replace(". Did", "; did")
    said = said.rstrip(".")
    return f"{said} (see {error.ctx.command_path} --help)" if getattr(error, "ctx", None) else said


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
app.command("false-marks")(false_marks.false_marks)
app.command("inspect")(inspect.inspect)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("plot")(plot.plot)
app.command("run")(run.run)
app.command("sweep")(sweep.sweep)
app.command("tune")(tune.tune)
app.command("speed")(speed.speed)


def main() -> None:
    """Run the command that the words of the command line name."""
    app(prog_name="bench")
