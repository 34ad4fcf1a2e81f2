"""Archives (zip; tar, plain or with gzip, bzip2 or xz) to a folder, without trust in what they say.

Nothing is written outside the folder: names that are absolute or climb (``..``) are errors, so are links in a zip;
tar files go through ``tarfile``'s ``data`` filter. What unpacks to far more than it should is stopped.
"""

import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath

from pipelines.errors import DataError
from pipelines.files import Progress, silent

MOST = 200 * 10**9
"""Bytes an archive may unpack to."""
RATIO = 100
"""Times its own size an archive may unpack to: photographs stay near 1, text near 5, sparse arrays may reach 50."""
HARMLESS = 10**8
"""Bytes up to which the ratio does not matter."""
PIECE = 2**20
NAMED = re.compile(r"\.(zip|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
UNREADABLE = (NotImplementedError, RuntimeError)
"""What ``zipfile`` raises on a member that is encrypted, or compressed in another way."""
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError)

Count = Callable[[int], None]


def is_archive(path: Path) -> bool:
    """By content, or by name where it is cut off or damaged; NumPy's ``.npz``, a zip too, is data."""
    if not path.is_file() or path.suffix == ".npz":
        return False
    if NAMED.search(path.name):
        return True
    try:
        return _is_zip(path) or tarfile.is_tarfile(path)
    except (*DAMAGED, *UNREADABLE):  # begins as one
        return True


def _is_zip(path: Path) -> bool:
    """Also one that is cut off: its list of files stands at the end."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04" or zipfile.is_zipfile(path)


def unpack(path: Path, folder: Path, most: int | None = None, progress: Progress = silent) -> None:
    """Unpack ``path`` into ``folder``; ``DataError`` where it is damaged, unsafe or too large.

    ``most``: bytes it may unpack to. Where None, ``MOST`` and not more than ``RATIO`` times its size.
    """
    size = path.stat().st_size
    limit = most or min(MOST, max(RATIO * size, HARMLESS))
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        if done > limit:
            raise DataError(
                f"{path} unpacks to more than {limit / 1e9:,.1f} GB ({size / 1e9:,.2f} GB packed);"
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
        raise


def _zip(path: Path, folder: Path, count: Count, progress: Progress) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir() and not _is_litter(member.filename)]
        total = sum(member.file_size for member in members)
        count(total)  # a member is never read beyond the size it states
        done = 0
        for member in members:
            target = folder / _safe(path, member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise DataError(f"{path}: {member.filename} is a link; pack the file itself")
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as file:
                while piece := source.read(PIECE):
                    file.write(piece)
                    done += len(piece)
                    progress(f"unpacking {path.name}", done, total)


def _tar(path: Path, folder: Path, count: Count, progress: Progress) -> None:
    total = path.stat().st_size
    with path.open("rb") as raw, tarfile.open(fileobj=raw) as archive:
        for member in archive:
            if _is_litter(member.name):
                continue
            _safe(path, member.name)
            count(member.size)
            try:
                archive.extract(member, folder, filter="data")
            except tarfile.FilterError as error:
                raise DataError(f"{path}: {error}") from None
            progress(f"unpacking {path.name}", min(raw.tell(), total), total)
        # tarfile takes a header that is cut off or no header at all for the end of the archive
        stream = archive.fileobj
        assert stream is not None
        stream.seek(archive.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise DataError(
                f"{path}: cannot be unpacked: cut off or damaged after {archive.offset:,} bytes; get it again"
            )


def _safe(path: Path, name: str) -> PurePosixPath:
    """A member's name as a path below the folder."""
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or PureWindowsPath(name).drive or "\\" in name or "\0" in name:
        raise DataError(f"{path}: {name!r} would leave the folder it is unpacked to")
    return inside


def _is_litter(name: str) -> bool:
    """What macOS puts into archives beside the files."""
    return "__MACOSX" in PurePosixPath(name).parts or PurePosixPath(name).name in (".DS_Store",)
