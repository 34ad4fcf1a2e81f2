"""What people and programs see: Rich on a terminal, plain text when piped."""

import os
import sys

from rich.console import Console

PIPE = 1000
"""Columns to write in where there is no terminal: enough for every table."""


def out() -> Console:
    """Results: stdout."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def log() -> Console:
    """Everything else: stderr, so that stdout stays readable by programs."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=not sys.stderr.isatty())


def wide(screen: Console) -> Console:
    """Where there is no terminal, as wide as every table needs, or as ``COLUMNS`` says."""
    if not screen.is_terminal and not os.environ.get("COLUMNS"):
        screen.width = PIPE
    return screen
