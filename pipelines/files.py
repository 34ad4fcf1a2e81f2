"""Reading source files: text by line, digests, and how work is reported while it goes on."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from pipelines.errors import DataError

OUT = re.compile(r"^[/\\]|^[A-Za-z]:[/\\]|(^|[/\\])\.\.([/\\]|$)")
"""What leads a path out of its folder, on any system: a root, or a step up."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and of how many."""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def digest(*parts: bytes | str) -> str:
    """32 hex digits."""
    whole = hashlib.blake2b(digest_size=16)
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part)
    return whole.hexdigest()


def file_digest(path: Path) -> str:
    """``digest`` of a file's bytes, read in pieces."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def read_bytes(path: Path) -> bytes:
    """A file's bytes; ``DataError`` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def read_lines(path: Path) -> list[str]:
    """Lines of an UTF-8 file without their ends; ``DataError`` names the line that is not UTF-8.

    Only a newline ends a line: captions may hold other characters that Unicode counts as line ends.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 (byte {data[error.start]:#04x})") from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if lines[-1] == "":
        lines.pop()
    return lines


def leaves(path: str) -> bool:
    """Whether a relative path, written in whatever system's way, leads out of its folder."""
    return bool(OUT.search(path))
