"""Text from outside, made fit to be shown: names, captions, messages of libraries, names of files.

Each format escapes what it would take for its own signs (``benchmark.reports``); what no reader should ever get,
such as a terminal's commands, is replaced here.
"""

import json
import math
import re
import unicodedata
from typing import Any

LONGEST = 60
"""Characters of a value to show in a message."""
UNSEEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, other line ends, marks that turn the order of text, halves of a character."""
REPLACED = "\ufffd"
ONE = re.compile(r"^(bad )?(caption|row|image|picture|sample|member|judgement)s\b")


def is_unseen(text: str) -> bool:
    """Whether there are only blanks and characters that take no room, such as U+200B."""
    return all(letter.isspace() or unicodedata.category(letter) == "Cf" for letter in text)


def counted(number: int, what: str) -> str:
    """``1 caption of ...`` for 1 and ``captions of ...``."""
    return f"{number:,} {ONE.sub(lambda found: found[0][:-1], what) if number == 1 else what}"


def clean(text: str) -> str:
    """Each character that commands a terminal, or that no encoding has, is one replacement character."""
    return UNSEEN.sub(REPLACED, text)


def one_line(text: str) -> str:
    """Cleaned, with single spaces for all white space and line ends."""
    return clean(" ".join(text.split()))


def short(text: str, most: int = LONGEST) -> str:
    """One line of at most ``most`` characters and an ellipsis."""
    line = one_line(text[: 2 * most])
    return line if len(line) <= most and len(text) <= 2 * most else f"{line[:most]}..."


def json_text(content: Any) -> str:
    """JSON that every reader takes: ASCII, and null for what is not finite."""
    return json.dumps(_finite(content), indent=2, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
