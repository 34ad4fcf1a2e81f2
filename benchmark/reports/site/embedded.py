"""Data for a page's script, as text that stands inside the page and can never end its element."""

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from negbench.pipelines.text import clean


def embedded(content: Any) -> Markup:
    """JSON with every sign of markup written as an escape, every text cleaned as elsewhere on a page."""
    text = json.dumps(_cleaned(content), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _cleaned(content: Any) -> Any:
    if isinstance(content, str):
        return clean(content)
    if isinstance(content, Mapping):
        return {clean(str(key)): _cleaned(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_cleaned(each) for each in content]
    return content
