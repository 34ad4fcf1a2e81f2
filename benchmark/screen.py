"""What people and programs see: Rich on a terminal, plain text when piped."""

import sys

from rich.console import Console


def out() -> Console:
    """Results: stdout."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def log() -> Console:
    """Everything else: stderr, so that stdout stays readable by programs."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=not sys.stderr.isatty())
