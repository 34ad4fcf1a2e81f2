"""What people and programs see: Rich on a terminal, plain text when piped."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from negbench.pipelines.text import clean

PIPE = 1000
"""Columns to write in where there is no terminal: enough for every table."""


class Screen(Console):
    """All text on it is cleaned, and only text: no markup and no ``:name:`` of an emoji is read in it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(clean(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        return super().render(_cleaned(renderable) if isinstance(renderable, Text) else renderable, options)


def _cleaned(text: Text) -> Text:
    """With as many characters, so that its styles stay where they are."""
    text = text.copy()
    text.plain = clean(text.plain)
    return text


def out() -> Screen:
    """Results: stdout."""
    return Screen(file=sys.stdout, soft_wrap=not sys.stdout.isatty())


def log() -> Screen:
    """Everything else: stderr, so that stdout stays readable by programs."""
    return Screen(file=sys.stderr, soft_wrap=not sys.stderr.isatty())


def wide(screen: Console) -> Console:
    """Where there is no terminal, as wide as every table needs, or as ``COLUMNS`` says."""
    if not screen.is_terminal and not os.environ.get("COLUMNS"):
        screen.width = PIPE
    return screen
