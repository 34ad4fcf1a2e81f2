"""Annotation files read with care: text by line, JSON. Every fault names its file and line, or its key.

Text is UTF-8, with or without a byte order mark, and lines end with LF or CRLF. Whatever else a file holds is a
fault: ``Faults`` ends the reading at the first one, or leaves the line out and goes on where that was asked for.
"""

import codecs
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from negbench.pipelines.errors import SHOWN, DataError, invalid
from negbench.pipelines.files import LFS, POINTER, open_plain, read_bytes
from negbench.pipelines.text import is_unseen

LONGEST = 100_000
"""Characters of a caption."""
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
LOOK = 1 << 16  # bytes of a first line
FOREIGN_LETTERS = re.compile(rb"[\x80-\xff]{3}|[\x80-\x9f]")
"""What Latin-1 has hardly anywhere: three letters with accents in a row, and its control characters."""
TWO_LETTERS = re.compile(rb"[\x80-\xff]{2}")
QUOTES = b"\x80\x85\x91\x92\x93\x94\x95\x96\x97\x99"
"""What Windows-1252 has where Latin-1 has control characters: the euro, dots, quotes, dashes."""
WIDE = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
ZEROS = {"x0x0": "UTF-16LE", "0x0x": "UTF-16BE", "x000": "UTF-32LE", "000x": "UTF-32BE"}
"""Which of four bytes are zeros in Latin letters without a mark."""
URL = re.compile(r"\w+://")


def _number(value: Any) -> Any:
    """A number that is written as text, as some programs write ids."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20 else value


Number = Annotated[int, BeforeValidator(_number)]
"""Of an id."""


class Entry(BaseModel):
    """What is read of a JSON object; other keys are let be."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


E = TypeVar("E", bound=Entry)


SKIP = "; bench data add --skip-bad leaves out what is bad"
"""What else one can do about a bad row."""


class Faults:
    """What is wrong with a source's rows. Without ``skip`` the first fault is raised, with it all are kept.

    With ``wait`` it is raised when the first good row is seen, or at the end: only where rows are left is it of use to
    leave bad ones out, and only then is that said. Of what is taken ``whole`` or not at all it never is.
    """

    def __init__(self, skip: bool = False, wait: bool = False, whole: bool = False) -> None:
        self.skip = skip
        self._advice = "" if whole else SKIP
        self.found: list[str] = []
        self.uncounted = 0
        """Of them those of rows, such as lines that are none, which nobody else counts as seen."""
        self._wait = wait

    def add(self, message: str) -> None:
        """Note a row that is left out; ``DataError`` where none may be."""
        if not self.skip and not self._wait:
            raise DataError(message + self._advice)
        self.found.append(message)
        self.uncounted += 1

    @contextmanager
    def row(self, counted: bool = False) -> Iterator[None]:
        """A ``DataError`` inside is one row's fault; ``counted`` where the caller counts it as seen."""
        try:
            yield
        except DataError as error:
            message = str(error).removesuffix(SKIP)
            if not self.skip and not self._wait:
                error.args = (message + self._advice,)
                raise
            self.found.append(message)
            self.uncounted += not counted

    def good(self) -> None:
        """A good row was seen; ``DataError`` where bad ones were before it and none may be."""
        self._wait = False
        if self.found and not self.skip:
            raise DataError(self.found[0] + self._advice)

    def end(self) -> None:
        """All rows were seen; ``DataError`` where all were bad and none may be."""
        self._wait = False
        if self.found and not self.skip:
            raise DataError(self.found[0])


def check_text(text: str, where: str, what: str) -> str:
    """``text`` without blanks around it; ``DataError`` where it is empty or holds what no text holds."""
    text = text.strip()
    if text and is_unseen(text):
        raise DataError(f"{where}: {what} is empty (characters that nobody sees, such as U+{ord(text[0]):04X})")
    if len(text) > LONGEST:
        raise DataError(f"{where}: {what} has {len(text):,} characters, at most {LONGEST:,} are read")
    if not text:
        raise DataError(f"{where}: {what} is empty")
    if found := CONTROL.search(text):
        raise DataError(f"{where}: binary garbage (character {ord(found[0]):#04x})")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"{where}: half a character (a lone surrogate)") from None
    return text


def check_id(image_id: str, where: str) -> str:
    """The id of an image, a path inside the source's folder; ``DataError`` where it leads out of it."""
    check_text(image_id, where, "id")
    if image_id != image_id.strip():
        raise DataError(f"{where}: blanks around the id {image_id[:80]!r}")
    if fault := _unfit(image_id):
        raise DataError(f"{where}: image {repr(image_id[:80]).replace(chr(92) * 2, chr(92))} {fault}")
    if re.search(r"[\t\r\n]", image_id):
        raise DataError(f"{where}: a line end or tab in the id {image_id[:80]!r}")
    if len(image_id) > 1000:
        raise DataError(f"{where}: image id of {len(image_id):,} characters: {image_id[:40]!r}...")
    return image_id


def _unfit(image_id: str) -> str | None:
    """Why an id is no path inside a folder, and what to do."""
    path = PurePosixPath(image_id)
    if URL.match(image_id):
        return "is a URL; download the pictures and name their files"
    if path.is_absolute() or re.match(r"[A-Za-z]:[/\\]|\\\\", image_id):
        return "is an absolute path, which leads out of the folder; use a path relative to it"
    if ".." in re.split(r"[/\\]", image_id):
        return "leads out of the folder; use a path relative to it"
    return "has backslashes, as paths of Windows; write / in their place" if "\\" in image_id else None


def annotation_files(root: Path, *patterns: str) -> list[Path]:
    """Files of these names in ``root``, or where there are none, in the folders right below it."""
    for below in ("", "*/"):
        found = {path for pattern in patterns for path in root.glob(below + pattern) if path.is_file()}
        if found := {path for path in found if not path.name.startswith(".")}:
            return sorted(found)
    return []


def first_line(path: Path) -> str:
    """The first line, for a look at what the file is; what is no UTF-8 in it is replaced."""
    try:
        with open_plain(path) as file:
            data = file.readline(LOOK)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    return _narrow(path, data).decode(errors="replace").rstrip("\r\n")


def _narrow(path: Path, data: bytes) -> bytes:
    """Without the mark of UTF-8; ``DataError`` where it is UTF-16 or UTF-32."""
    if wide := _wide(data[:64]):
        raise DataError(f"{path}:1: {wide[:6]}; save it as UTF-8 (iconv -f {wide} -t UTF-8)")
    if data.startswith(LFS):
        raise DataError(f"{path}:1: {POINTER}")
    return data.removeprefix(codecs.BOM_UTF8)


def _wide(head: bytes) -> str | None:
    """The encoding of a text of two or four bytes a character, by its mark or by its zeros."""
    for mark, name in WIDE.items():
        if head.startswith(mark):
            return name
    zeros = [head[k::4].count(0) * 4 >= 0.9 * (len(head) - 3) for k in range(4)]
    return ZEROS.get("".join("0" if zero else "x" for zero in zeros)) if len(head) >= 8 else None


def not_utf8(data: bytes, error: UnicodeDecodeError) -> str:
    """What some bytes are in place of UTF-8."""
    guess = "ENCODING"
    if data[error.start] >= 0xC0 and not FOREIGN_LETTERS.search(data):
        guess, look = "Latin-1", "; Latin-1 by the look of it"
    elif data[error.start] in QUOTES and not TWO_LETTERS.search(data):
        guess, look = "CP1252", "; Windows-1252 by the look of it"
    else:
        look = "; of another encoding (CP1252, GBK, Shift_JIS, ...)"
    return f"not UTF-8 (byte {data[error.start]:#04x}){look}: save the file as UTF-8 (iconv -f {guess} -t UTF-8)"


def lines(path: Path, faults: Faults) -> Iterator[tuple[int, str]]:
    """Good lines with their numbers, from 1. Only a newline ends a line: captions may hold other line ends."""
    every = _narrow(path, read_bytes(path)).split(b"\n")
    if every[-1] == b"":
        every.pop()
    for number, raw in enumerate(every, start=1):
        try:
            text = raw.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            faults.add(f"{path}:{number}: {not_utf8(raw, error)}")
            continue
        if found := CONTROL.search(text):
            faults.add(f"{path}:{number}: binary garbage (byte {ord(found[0]):#04x})")
            continue
        yield number, text


def line_count(path: Path) -> int:
    """Number of lines, bad ones too."""
    data = read_bytes(path)
    return data.count(b"\n") + bool(data and not data.endswith(b"\n"))


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    data = _narrow(path, read_bytes(path))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: {not_utf8(data, error)}") from None
    return parse_json(text, str(path))


def parse_json(text: str, where: str) -> Any:
    """The value a JSON text stands for; ``DataError`` with line and column, or where an object has a key twice."""

    def different(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise DataError(f"{where}: the key {shown(twice)} stands twice in one object: {shown(made)}")
        return made

    try:
        return json.loads(text, object_pairs_hook=different)
    except json.JSONDecodeError as error:
        ends = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        cut = "; it ends in the middle" if ends else ""
        raise DataError(f"{where}:{error.lineno}: not JSON: {error.msg} (column {error.colno}){cut}") from None
    except RecursionError:
        raise DataError(f"{where}: not JSON that can be read: nested too deep") from None
    except ValueError:  # Python reads no number of thousands of digits
        raise DataError(f"{where}: not JSON that can be read: a number has too many digits") from None


def entry(kind: type[E], value: Any, where: str) -> E:
    """``value`` as a ``kind``; ``DataError`` names the key that is missing or of the wrong type."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        joint = "" if where.endswith(": ") else "." if error.errors()[0]["loc"] else ": "
        raise DataError(f"{where}{joint}{invalid(error)}") from None


def shown(value: Any) -> str:
    """The beginning of a value of any depth and length."""
    return SHOWN.repr(value)[:60]


def items(value: Any, where: str) -> list[Any]:
    """``value`` as a list that is not empty."""
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: expected a list of rows, got {shown(value)}")
    return value
