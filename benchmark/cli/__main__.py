"""``bench``, also ``python -m negbench.benchmark.cli``: whatever its streams are, and interrupted while it still loads,
it ends as it does later."""

import os
import sys
from pathlib import Path

HOW = "pip install negbench, without --no-deps"


def main() -> None:
    """Entry point of the ``bench`` command."""
    mend_streams()
    try:
        from negbench.benchmark.sweeps.processes import end_with_parent

        end_with_parent()  # of a sweep
        try:
            from negbench.benchmark.cli.main import main as bench
        except ModuleNotFoundError as error:
            if (error.name or "negbench").startswith("negbench"):
                raise
            print(f"error: bench needs more than negbench.methods: {error.name} is missing; {HOW}", file=sys.stderr)
            sys.exit(2)
        bench()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def mend_streams() -> None:
    """A stream that was closed leads nowhere, so that no file gets its number and what is printed; a character that
    the encoding of a stream lacks is replaced."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as we live
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
