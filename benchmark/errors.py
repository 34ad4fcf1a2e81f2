"""Errors a person can mend, each with the exit code of the ``bench`` command."""

import re


class BenchError(Exception):
    """One line: what is wrong, where, and what to do. Exit code 2 unless a subclass says otherwise."""

    exit_code = 2


def first_line(error: BaseException) -> str:
    """Of an error's message; libraries go on for many."""
    return (str(error).splitlines() or [""])[0]


def out_of_memory(error: BaseException) -> str | None:
    """What to say where there was not enough memory, whatever torch and numpy call it; None for other errors."""
    said = str(error)
    name = type(error).__name__  # torch's own class of a GPU, without importing torch
    if not isinstance(error, MemoryError) and name != "OutOfMemoryError" and "can't allocate memory" not in said:
        return None
    asked = re.search(r"tried to allocate ([\d.]+) (bytes|[KMGT]iB)", said)
    size = (
        ""
        if asked is None
        else f", asked for {int(asked[1]):,} bytes"
        if asked[2] == "bytes"
        else f", asked for {asked[1]} {asked[2]}"
    )
    return f"out of memory{size}; use a smaller memory, batch or dim"


class RunFailedError(BenchError):
    """A training failed."""

    exit_code = 1


class LostError(BenchError):
    """One of several processes was lost in a training; it goes on from its checkpoint."""

    exit_code = 1


class NotTrackedError(BenchError):
    """All is done, but DVC did not record it."""

    exit_code = 1


class NoDataError(BenchError):
    """Data or records are missing or invalid."""

    exit_code = 3


class SweepFailedError(BenchError):
    """A sweep went through, with failed cells."""

    exit_code = 4
