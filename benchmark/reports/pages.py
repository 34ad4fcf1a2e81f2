"""HTML pages, filled from the templates that stand beside their files."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from negbench.pipelines.text import clean


def render(template: str, **content: Any) -> str:
    """The whole page. Every text in it is cleaned, then escaped.

    Args:
        template: path below this folder.
        content: what its names stand for.
    """
    return _environment().get_template(template).render(content)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
        autoescape=True,
        finalize=_cleaned,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _cleaned(value: Any) -> Any:
    """A text without what no reader should get; what a macro wrote is made of such."""
    return clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
