"""``bench``, also ``python -m negbench.benchmark.cli``: whatever its streams are, interrupted while it still loads, or
where nothing but the samplers' torch is installed, it ends as it does later."""

import os
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path


def main() -> None:
    """Entry point of the ``bench`` command."""
    mend_streams()
    try:
        from negbench.benchmark.sweeps.processes import end_with_parent

        end_with_parent()  # of a sweep
        from negbench.benchmark.cli.main import main as bench

        bench()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except ModuleNotFoundError:
        if not (wanted := lacking()):
            raise
        print(f"error: bench needs more than the samplers do; run: pip install {' '.join(wanted)}", file=sys.stderr)
        sys.exit(2)


def lacking() -> list[str]:
    """What the suite requires, besides the extras, and is not installed, as ``pip`` wants to be told in a shell."""
    found = []
    for requirement in requires("negbench") or []:
        wanted, _, condition = requirement.partition(";")
        try:
            distribution(re.split(r"[^\w.-]", wanted)[0])
        except PackageNotFoundError:
            if "extra" not in condition:
                found.append(f"'{wanted.strip()}'")
    return found


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
