"""``bench``: puts the sub-commands together and turns errors into one line and an exit code.

Exit codes: 0 done; 1 a run failed, or DVC did not record what was added; 2 wrong usage or bad configuration; 3 data
missing or invalid; 4 a sweep finished with failed cells; 130 interrupted (a sweep also by SIGTERM or SIGHUP). No
command file imports torch, pandas or numpy at its top.
"""

import errno
import importlib.metadata
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer

from negbench.benchmark.cli import (
    audit,
    compare,
    data,
    demo,
    doctor,
    encoders,
    false_marks,
    features,
    init,
    inspect,
    leaderboard,
    methods,
    models,
    params,
    plot,
    rankings,
    recipes,
    record,
    report,
    run,
    runs,
    search,
    speed,
    sweep,
    tune,
)
from negbench.benchmark.cli.complete import Completing, CompletingGroup
from negbench.benchmark.errors import BenchError, first_line, out_of_memory
from negbench.benchmark.reports.screen import log
from negbench.methods.registry import RegistryError
from negbench.pipelines.errors import DataError, RequestError, invalid
from negbench.pipelines.text import one_line

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space, no quota, no larger file: nothing was wrong with what was asked for."""
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""A place that may not be written or read."""


WrongUsage: type[Exception] = typer.BadParameter.__mro__[2]
"""What the parser raises: click's own error, of the copy that Typer carries."""


KNOWN = (BenchError, DataError, RegistryError, OSError, WrongUsage)
"""What a person can mend; any other error is a fault of ours, or there was not enough memory."""


POSSIBLE = re.compile(r" \(Possible options: (.*)\)$")


class Bench(CompletingGroup):
    """Prints a known error as one line. ``BENCH_DEBUG=1`` shows the traceback."""

    def make_context(self, *words: Any, **more: Any) -> Any:
        with told():
            return super().make_context(*words, **more)

    def invoke(self, ctx: Any) -> Any:
        with told():
            return super().invoke(ctx)


@contextmanager
def told() -> Iterator[None]:
    """An error inside is one line on stderr and the exit code."""
    try:
        yield
    except SystemExit as error:  # no command does that, but Rich where nobody reads, and maybe a method
        if error.code:
            raise
        log().print(
            f"error: something that was imported called sys.exit({error.code!r}); nothing is done",
            style="bold red",
        )
        raise typer.Exit(1) from None
    except (typer.Exit, typer.Abort, BrokenPipeError):  # whoever reads had enough: Typer ends quietly
        raise
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("BENCH_DEBUG") or type(error).__name__ == "NoArgsIsHelpError":
            raise
        with suppress(OSError):  # a stderr that takes nothing
            log().print(line_of(error), style="bold red")
        raise typer.Exit(exit_code(error)) from None


def line_of(error: BaseException) -> str:
    """What is printed of an error, with the notes that were added to it on its way."""
    said = "interrupted" if isinstance(error, KeyboardInterrupt) else f"error: {reason(error)}"
    return one_line("; ".join([said, *getattr(error, "__notes__", [])]))


def reason(error: BaseException) -> str:
    if isinstance(error, WrongUsage):
        return wrong_usage(error)
    if isinstance(error, OSError) and error.errno in FULL:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{os.strerror(error.errno)}; make room and run the same command again"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, KNOWN):
        return str(error)
    return out_of_memory(error) or f"internal: {type(error).__name__}: {first_line(error)} (BENCH_DEBUG=1 shows where)"


def wrong_usage(error: Any) -> str:
    """What the parser says, or pydantic in its place, and where to read more."""
    from pydantic import ValidationError

    if isinstance(error.__cause__, ValidationError) and getattr(error, "param", None):
        said = f"{error.param.opts[0]}: {invalid(error.__cause__)}"
    else:
        said = one_line(error.format_message())
        said = f"{said[:1].lower()}{said[1:]}".replace(". Did", "; did")
        said = POSSIBLE.sub(r"; did you mean \1?", said)
    said = said.rstrip(".")
    return f"{said} (see {error.ctx.command_path} --help)" if getattr(error, "ctx", None) else said


def exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 130
    if not isinstance(error, KNOWN):
        return 1
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


def version(asked: bool) -> None:
    """Print it and stop."""
    if asked:
        typer.echo(f"bench {importlib.metadata.version('negbench')}")
        raise typer.Exit


@app.callback()
def bench(
    _: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """A benchmark suite for negative sampling in image-text matching."""


COMMANDS = (
    audit.audit,
    compare.compare,
    demo.demo,
    doctor.doctor,
    encoders.encoders,
    false_marks.false_marks,
    features.features,
    init.init,
    inspect.inspect,
    leaderboard.leaderboard,
    methods.methods,
    models.models,
    params.params,
    plot.plot,
    rankings.rankings,
    recipes.recipes,
    record.record,
    report.report,
    run.run,
    runs.runs,
    search.search,
    speed.speed,
    sweep.sweep,
    tune.tune,
)
app.add_typer(data.app, name="data")
for command in COMMANDS:
    app.command(command.__name__.replace("_", "-"), cls=Completing)(command)


def main() -> None:
    """Run the command that the words of the command line name."""
    app(prog_name="bench")
