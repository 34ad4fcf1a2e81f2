"""Errors a person can mend, each with the exit code of the ``bench`` command."""


class BenchError(Exception):
    """One line: what is wrong, where, and what to do. Exit code 2 unless a subclass says otherwise."""

    exit_code = 2


class RunFailedError(BenchError):
    """A training failed."""

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
