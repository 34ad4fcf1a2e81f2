"""Reading files: small ones whole, digests, and how work is reported while it goes on."""

import errno
import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from negbench.pipelines.errors import DataError, not_yaml

if TYPE_CHECKING:
    from ruamel.yaml import YAML

OUT = re.compile(r"^[/\\]|^[A-Za-z]:[/\\]|(^|[/\\])\.\.([/\\]|$)")
"""What leads a path out of its folder, on any system: a root, or a step up."""

UNFIT = re.compile(r"[\x00-\x1f\x7f/\\]|^\.{0,2}$")
"""What one part of a path cannot hold or be: control characters, separators; nothing, this folder, the one above."""

LFS = b"version https://git-lfs"
"""Begins a pointer of Git LFS."""
POINTER = "a Git LFS pointer, not the file itself; run: git lfs pull"

LARGEST = 64 * 2**20
"""Bytes of a text file that is read as a whole: far more than any the project writes."""
LARGEST_YAML = 2**18
"""Characters of a YAML file: people write them, and reading takes seconds from here on."""
DEEPEST = 100
"""Levels of a YAML file, one in another."""
MOST_VALUES = 100_000
"""Values a YAML file may stand for: aliases of aliases in a few lines stand for billions."""
MOST_BITS = 1023
"""Of a whole number: one with more can be no floating point number."""
TOO_LONG = "a number has too many digits"

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
        with open_plain(path) as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def open_plain(path: Path) -> io.BufferedReader:
    """A file to read; ``DataError`` where it is a pipe or a device, which may never end. ``OSError`` as ``open``."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for a writer
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise DataError(f"{path}: not a file")
    return os.fdopen(handle, "rb")


def is_pointer(path: Path) -> bool:
    """Whether a file only says where Git LFS keeps what it should hold."""
    try:
        with open_plain(path) as file:
            return file.read(len(LFS)) == LFS
    except (OSError, DataError):
        return False


def read_bytes(path: Path) -> bytes:
    """A file's bytes; ``DataError`` where it cannot be read."""
    try:
        with open_plain(path) as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def read_text(path: Path) -> str:
    """A small text file; ``DataError`` where it cannot be read, is too large to be one, or is not UTF-8."""
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: {os.strerror(errno.EISDIR) if path.is_dir() else 'not a file'}")
        if (size := path.stat().st_size) > LARGEST:
            raise DataError(f"{path}: {size / 1e6:,.0f} MB, too large for what it should be")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 (byte {data[error.start]:#04x})") from None


def read_json(path: Path) -> Any:
    """What a small JSON file holds; ``DataError`` names the place where it is not JSON."""
    text = read_text(path)
    if not text.strip():
        raise DataError(f"{path}: empty")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON (column {error.colno})") from None
    except RecursionError:
        raise DataError(f"{path}: not JSON that can be read: nested too deep") from None
    except ValueError:  # Python reads no number of thousands of digits
        raise DataError(f"{path}: not JSON that can be read: {TOO_LONG}") from None


def read_yaml(path: Path, reader: "YAML | None" = None) -> Any:
    """What a small YAML file holds, comments kept where ``reader`` keeps them; ``DataError`` names the place."""
    text = read_text(path)
    if len(text) > LARGEST_YAML:
        raise DataError(f"{path}: {len(text):,} characters, too large for what it should be")
    return parse_yaml(text, str(path), reader)


def parse_yaml(text: str, where: str, reader: "YAML | None" = None) -> Any:
    """What a YAML text says; ``DataError`` begins with ``where`` it comes from."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    reader = reader or YAML(typ="safe", pure=True)
    try:
        _check_depth(reader.parse(text), where)
        _count(reader.compose(text), {}, where)
        content = reader.load(text)
        _check_numbers(content, where)
    except YAMLError as error:
        raise DataError(f"{where}{not_yaml(error)}") from None
    except RecursionError:
        raise DataError(f"{where}: not YAML that can be read: nested too deep") from None
    except (ValueError, TypeError, AttributeError, LookupError) as error:  # of dates, digits, strange keys
        fault = TOO_LONG if "digits" in str(error) else " ".join(str(error).split())[:100]
        raise DataError(f"{where}: not YAML that can be read: {fault}") from None
    return content


def _check_depth(events: Iterable[Any], where: str) -> None:
    """``DataError`` where a text is nested too deep: before all of it is read, which takes long then."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        if depth > DEEPEST:
            raise DataError(f"{where}: not YAML that can be read: nested too deep")


def _count(node: Any, known: dict[int, int], where: str) -> int:
    """How many values a node stands for, those of its aliases each time; ``DataError`` where they are too many."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES  # of a node that holds itself
        parts = node.value if node is not None and not isinstance(node.value, str) else []
        pairs = (part for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,)))
        known[id(node)] = 1 + sum(_count(part, known, where) for part in pairs)
        if known[id(node)] > MOST_VALUES:
            raise DataError(f"{where}: more than {MOST_VALUES:,} values, with what its aliases repeat")
    return known[id(node)]


def _check_numbers(content: Any, where: str) -> None:
    """``DataError`` where a whole number is too long to be printed again: hexadecimal ones have no other bound."""
    if isinstance(content, int) and content.bit_length() > MOST_BITS:
        raise DataError(f"{where}: not YAML that can be read: {TOO_LONG}")
    if isinstance(content, dict | list | set):
        for part in content:
            _check_numbers(part, where)
    if isinstance(content, dict):
        _check_numbers(list(content.values()), where)


def is_part(name: str) -> bool:
    """Whether a name can be one part of a path, and no more than that."""
    return not UNFIT.search(name) and len(os.fsencode(name)) <= 255


def leaves(path: str) -> bool:
    """Whether a relative path, written in whatever system's way, leads out of its folder."""
    return bool(OUT.search(path))
