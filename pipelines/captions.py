"""What captions look like: when two are the same, and what shows that a text was read or written wrongly."""

import html
import re
import unicodedata
from collections.abc import Callable

import pandas as pd

MOST_WORDS = 75
"""CLIP reads 77 tokens, two of them its own; a caption of more words than this is cut for certain."""
REPLACED = "\N{REPLACEMENT CHARACTER}"
ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-f]+|[a-z]+\d*);", re.IGNORECASE)
FOREIGN = re.compile(r"[^\x00-\x7f]+")
INVISIBLE = "\N{ZERO WIDTH SPACE}\N{ZERO WIDTH NO-BREAK SPACE}\N{SOFT HYPHEN}"


def same(text: str) -> str:
    """What is equal of equal captions: letters without case, blanks as one space, no full stop at the end."""
    return " ".join(text.casefold().split()).rstrip(". ")


def false_pairs(captions: pd.DataFrame, same: str) -> int:
    """Pairs of an image with another image's caption that are equal to one of its own: unlabelled, yet true.

    ``captions`` has ``image_id`` and, in column ``same``, what is equal of equal captions.
    """
    groups = captions.groupby(same)["image_id"].agg(["size", "nunique"])
    return int((groups["size"] * (groups["nunique"] - 1)).sum())


def wordless(text: str) -> bool:
    """Whether there is neither letter nor digit."""
    return not any(letter.isalnum() for letter in text)


def has_control(text: str) -> bool:
    """Whether there are characters that nobody can see: control characters, byte order marks and the like."""
    return any(unicodedata.category(letter) == "Cc" or letter in INVISIBLE for letter in text)


def repaired(text: str) -> str:
    """``text`` with the UTF-8 that was read as Latin-1 or Windows-1252 read again: ``cafÃ©`` is ``café``."""
    return FOREIGN.sub(lambda run: _read_again(run[0]), text)


def _read_again(run: str) -> str:
    try:
        return b"".join(_byte(letter) for letter in run).decode()
    except UnicodeError:
        return run


def _byte(letter: str) -> bytes:
    """Windows-1252 has no meaning for five bytes; readers leave them as Latin-1 does."""
    try:
        return letter.encode("cp1252")
    except UnicodeError:
        return letter.encode("latin-1")


ENCODING: dict[str, tuple[str, Callable[[str], bool]]] = {
    "replaced-characters": ("hold the sign for a character that could not be read", lambda text: REPLACED in text),
    "mojibake": ("hold UTF-8 that was read as another encoding", lambda text: repaired(text) != text),
    "control-characters": ("hold control or invisible characters", has_control),
    "entities": (
        "hold HTML entities",
        lambda text: "&" in text and html.unescape(text) != text and bool(ENTITY.search(text)),
    ),
}
"""Signs of a wrong encoding: what captions with them do, and how one sees it."""
