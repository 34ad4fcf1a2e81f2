"""Archives (zip; tar, plain or with gzip, bzip2 or xz) to a folder, without trust in what they say.

Nothing is written outside the folder: names that are absolute or climb (``..``) are errors, so are links, devices and
pipes. What unpacks to far more than it should is stopped: all bytes count, those of a tar's headers too.
"""

import bz2
import errno
import gzip
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, cast

from negbench.pipelines.errors import DataError
from negbench.pipelines.files import Progress, is_part, silent

MOST = 200 * 10**9
"""Bytes an archive may unpack to."""
RATIO = 100
"""Times its own size an archive may unpack to: photographs stay near 1, text near 5, sparse arrays may reach 50."""
HARMLESS = 10**8
"""Bytes up to which the ratio does not matter."""
MOST_FILES = 1_000_000
"""Files an archive may hold."""
DEEPEST = 32
"""Parts of a path in an archive."""
LARGEST_READ = 2**16
"""Bytes of a tar that are read at once. A header is read as a whole: long names and the like take a few hundred."""
ZIP_HEADER = 30
"""Bytes before a member in a zip, its name not counted."""
UNPACKED = ".unpacked"
"""The file that says that a folder was unpacked by the suite: no name for a file of an archive."""
PIECE = 2**20
NAMED = re.compile(r"\.(zip|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
UNREADABLE = (NotImplementedError, RuntimeError)
"""What ``zipfile`` raises on a member that is encrypted, or compressed in another way."""
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, OverflowError)
CLASH = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
"""What the system says where two names of an archive do not fit together, or a path is too long."""
PACKED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", lambda raw: gzip.GzipFile(fileobj=raw)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)
"""How a packed tar begins, and what unpacks it."""

CountBytes = Callable[[int], None]


def is_archive(path: Path) -> bool:
    """By content, or by name where it is cut off or damaged; NumPy's ``.npz``, a zip too, is data."""
    if not path.is_file() or path.suffix == ".npz":
        return False
    if NAMED.search(path.name):
        return True
    try:
        return _is_zip(path) or _is_tar(path)
    except (*DAMAGED, *UNREADABLE):  # begins as one
        return True


def _is_zip(path: Path) -> bool:
    """Also one that is cut off: its list of files stands at the end."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04" or zipfile.is_zipfile(path)


def _is_tar(path: Path) -> bool:
    """Whether the first block is a header, or the end of an empty archive; nothing more is read."""
    with path.open("rb") as raw, _unpacked(raw) as stream:
        try:
            tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), tarfile.ENCODING, "surrogateescape")
        except tarfile.TarError as error:
            return type(error).__name__ == "EOFHeaderError"
        except OSError:
            return False
    return True


def limit_of(path: Path) -> int:
    """Bytes that a file may unpack to."""
    return min(MOST, max(RATIO * path.stat().st_size, HARMLESS))


def unpack(path: Path, folder: Path, most: int | None = None, progress: Progress = silent) -> None:
    """Unpack ``path`` into ``folder``; ``DataError`` where it is damaged, unsafe or too large.

    ``most``: bytes it may unpack to. Where None, ``MOST`` and not more than ``RATIO`` times its size.
    """
    limit = most or limit_of(path)
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        if done > limit:
            raise DataError(
                f"{path} unpacks to more than {limit / 1e9:,.1f} GB ({path.stat().st_size / 1e9:,.2f} GB packed);"
                " if it is what it should be, allow more with --unpack-limit GB"
            )

    try:
        if _is_zip(path):
            _zip(path, folder, count, progress)
        else:
            _tar(path, folder, count, progress)
    except UNREADABLE:
        raise DataError(
            f"{path}: cannot be unpacked: encrypted, or packed in a way that is not known; pack it again as plain zip"
        ) from None
    except DAMAGED:
        raise DataError(f"{path}: cannot be unpacked: cut off or damaged; get the file again") from None
    except OSError as error:
        if error.errno is None:  # gzip and bz2 say so of damaged data
            raise DataError(f"{path}: cannot be unpacked: cut off or damaged; get the file again") from None
        if error.errno in CLASH:
            where = os.path.relpath(error.filename, folder) if error.filename else "a path"
            raise DataError(f"{path}: {where[:200]}: {os.strerror(error.errno)}; pack it again") from None
        raise


def _zip(path: Path, folder: Path, count: CountBytes, progress: Progress) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not is_litter(member.filename)]
        members = [member for member in members if not member.filename.endswith("/")]
        targets = [_safe(path, member.filename) for member in members]
        _check_members(path, members, targets)
        total = sum(member.file_size for member in members)
        count(total)  # a member is never read beyond the size it states
        done = 0
        for member, inside in zip(members, targets, strict=True):
            target = folder / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as file:
                while piece := source.read(PIECE):
                    file.write(piece)
                    done += len(piece)
                    progress(f"unpacking {path.name}", done, total)


def _check_members(path: Path, members: list[zipfile.ZipInfo], targets: list[PurePosixPath]) -> None:
    """``DataError`` where a zip's members are too many, links, of one name, or of the same bytes."""
    _check_number(path, len(members))
    seen: set[PurePosixPath] = set()
    for member, inside in zip(members, targets, strict=True):
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DataError(f"{path}: {member.filename} is a link; pack the file itself")
        if inside in seen:
            raise DataError(f"{path}: {member.filename} stands twice; pack it again")
        seen.add(inside)
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end:
            raise DataError(f"{path}: {member.filename} overlaps with another file; get the archive again")
        end = member.header_offset + ZIP_HEADER + member.compress_size


def _tar(path: Path, folder: Path, count: CountBytes, progress: Progress) -> None:
    total = path.stat().st_size
    with path.open("rb") as raw, _unpacked(raw) as stream, open_tar(path, stream, count) as archive:
        for number, member in enumerate(archive, start=1):
            _check_number(path, number)
            if is_litter(member.name) or (member.isdir() and not PurePosixPath(member.name).parts):
                continue
            _safe(path, member.name)
            if not member.isdir() and (not member.isreg() or member.issparse()):
                what = "a link" if member.islnk() or member.issym() else "no plain file"
                raise DataError(f"{path}: {member.name} is {what}; pack the file itself")
            try:
                archive.extract(member, folder, filter="data")
            except tarfile.FilterError as error:
                raise DataError(f"{path}: {error}") from None
            progress(f"unpacking {path.name}", min(raw.tell(), total), total)
        # tarfile takes a header that is cut off or no header at all for the end of the archive
        stream.seek(archive.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise DataError(
                f"{path}: cannot be unpacked: cut off or damaged after {archive.offset:,} bytes; get it again"
            )


def open_tar(path: Path, stream: Any, count: CountBytes) -> tarfile.TarFile:
    """The tar archive whose unpacked bytes are ``stream``, read as ``_Bounded`` allows."""
    bounded = cast("IO[bytes]", _Bounded(path, stream, count))
    return tarfile.TarFile(fileobj=bounded, copybufsize=LARGEST_READ)


def _unpacked(raw: Any) -> Any:
    """The bytes of a tar that may be packed."""
    start = raw.read(max(len(magic) for magic, _ in PACKED))
    raw.seek(0)
    return next((opened(raw) for magic, opened in PACKED if start.startswith(magic)), raw)


class _Bounded:
    """A tar's bytes for ``tarfile``, which takes a header of any size into memory, and keeps no account.

    Here no read is larger than ``LARGEST_READ``, and every byte that is read or skipped is counted, once.
    """

    def __init__(self, path: Path, stream: Any, count: CountBytes) -> None:
        self._path, self._stream, self._count, self._end = path, stream, count, 0

    def read(self, size: int) -> bytes:
        if not 0 <= size <= LARGEST_READ:
            raise DataError(f"{self._path}: a header of {size:,} bytes, at most {LARGEST_READ:,} are read")
        self._reach(self.tell() + size)
        data: bytes = self._stream.read(size)
        return data

    def seek(self, place: int) -> int:
        self._reach(place)
        return int(self._stream.seek(place))

    def tell(self) -> int:
        return int(self._stream.tell())

    def _reach(self, place: int) -> None:
        if place > self._end:
            self._count(place - self._end)
            self._end = place


def _check_number(path: Path, number: int) -> None:
    if number > MOST_FILES:
        raise DataError(f"{path}: more than {MOST_FILES:,} files; unpack it yourself, and add the folder")


def _safe(path: Path, name: str) -> PurePosixPath:
    """A member's name as a path below the folder."""
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or PureWindowsPath(name).drive or "\\" in name or "\0" in name:
        raise DataError(f"{path}: {name[:200]!r} would leave the folder it is unpacked to")
    if len(inside.parts) > DEEPEST:
        raise DataError(f"{path}: {name[:80]!r}... lies {len(inside.parts)} folders deep, at most {DEEPEST} work")
    if not inside.parts or not all(map(is_part, inside.parts)) or inside.parts[0] == UNPACKED:
        raise DataError(f"{path}: {name[:200]!r} cannot be the name of a file; pack it under another one")
    return inside


def is_litter(name: str) -> bool:
    """What macOS puts into archives beside the files."""
    return "__MACOSX" in PurePosixPath(name).parts or PurePosixPath(name).name in (".DS_Store", "Icon\r")
