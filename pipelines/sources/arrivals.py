"""What ``bench data add --from`` names, as a folder to read.

A folder is read where it is. Archives and downloads are unpacked together into ``raw/<name>/``, which stays: it is
what ``path`` in ``data/<name>.yaml`` points to, and what DVC versions (``negbench.pipelines.project``).
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from negbench.pipelines import datasets
from negbench.pipelines.atomic import Kind, new_folder, sweep
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.files import Progress, read_bytes, silent
from negbench.pipelines.sources import RAW, Origin, check_apart
from negbench.pipelines.sources.archives import UNPACKED, is_archive, is_litter, unpack
from negbench.pipelines.sources.download import check_url, download, is_url, plain, remove_downloads
from negbench.pipelines.sources.download import place as downloads_of

KIND = Kind("folder of what was unpacked", UNPACKED, ("*",))
"""``raw/<name>/``: whatever came out of archives, and a file that says who made the folder and of which files."""
ABOUT = "Unpacked by `bench data add`; adding it again with --replace makes it anew. The files:\n"


@dataclass(frozen=True)
class Arrived:
    """Where a dataset's files are."""

    folder: Path
    """To read now."""
    home: Path
    """Where they lie when all is done."""
    origin: list[Origin] | None
    """What they came in; None for a folder, which is the source itself."""

    def told(self, text: str) -> str:
        """Text that names the folder, with the place where its files will lie."""
        return text.replace(str(self.folder), str(self.home))


@contextmanager
def arrive(
    name: str,
    places: Sequence[str | Path],
    *,
    sha256: Sequence[str] = (),
    most: int | None = None,
    progress: Progress = silent,
) -> Iterator[Arrived]:
    """The files of ``places``: one folder, or archives and URLs, each with its digest if any is given.

    ``raw/<name>/`` appears when the block ends well. When it raises, nothing is left but downloads, which a second
    call finds. Errors about unpacked files name the archive in place of the folder that is gone by then.
    """
    local = located(name, places, sha256)
    first = local[0]
    sweep(RAW)
    if isinstance(first, Path) and first.is_dir():
        yield Arrived(first, first, None)
        return
    home = RAW / name
    with new_folder(home, KIND) as scratch:
        digests: Sequence[str | None] = sha256 or [None] * len(local)
        origin = [_bring(place, scratch, digest, most, progress) for place, digest in zip(local, digests, strict=True)]
        listed = "".join(f"{file}\n" for file in _files(scratch))
        (scratch / KIND.mark).write_bytes(os.fsencode(ABOUT + listed))
        inside = _innermost(scratch)
        try:
            yield Arrived(inside, home / inside.relative_to(scratch), origin)
        except DataError as error:
            said = first.name if isinstance(first, Path) else plain(first)
            raise type(error)(str(error).replace(str(scratch), said if len(local) == 1 else str(home))) from None
        _check_own(home)  # once more: unpacking may take hours
    for place in local:
        if isinstance(place, str):
            remove_downloads(place)


def located(
    name: str, places: Sequence[str | Path], sha256: Sequence[str] = (), option: str = "--from"
) -> list[Path | str]:
    """The paths and URLs of a request; ``RequestError`` or ``DataError`` before anything is fetched or written.

    ``option`` is what named them.
    """
    local = [_local(place, option) for place in places]
    _check(local, sha256)
    home = RAW / name
    unpacks = not (isinstance(local[0], Path) and local[0].is_dir())
    for place in local:
        if isinstance(place, Path):
            check_apart(name, place, f"{option} {place}", *([home] if unpacks else []))
        else:
            check_apart(name, None, plain(place), home)
    if unpacks:
        _check_own(home)
    return local


def _check_own(home: Path) -> None:
    """``RequestError`` where ``raw/<name>/`` holds anything that was not unpacked there."""
    if not home.exists():
        return
    if not (home / KIND.mark).is_file():
        raise RequestError(f"{home} is in the way and was not made by bench; move it, or add it with --from {home}")
    about, _, listed = os.fsdecode(read_bytes(home / KIND.mark)).partition("\n")
    own = {KIND.mark, *listed.split("\n")}
    foreign = [file for file in _files(home) if file not in own] if "The files:" in about else []
    if foreign:
        raise RequestError(f"{home} holds '{foreign[0]}', which bench did not unpack there; move it to another folder")


def _files(folder: Path) -> list[str]:
    """All files below a folder, hidden ones too, but what macOS leaves everywhere."""
    every = ((Path(above) / name).relative_to(folder) for above, _, names in os.walk(folder) for name in names)
    return sorted(path.as_posix() for path in every if not is_litter(path.as_posix()))


def _local(place: str | Path, option: str) -> Path | str:
    """A path, or a URL that is none."""
    text = str(place)
    if not text.strip() or "\0" in text:
        raise RequestError(f"{option} {text!r}: name a folder, an archive or a URL")
    if not isinstance(place, str) or not is_url(place):
        return Path(text)
    check_url(text)
    parts = urlsplit(text)
    if parts.scheme != "file":
        return text
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or "\0" in path or not path.strip("/"):
        raise RequestError(f"{text}: names no file of this machine; write file:///FOLDER/FILE")
    return Path(path)


def _check(places: Sequence[Path | str], sha256: Sequence[str]) -> None:
    """``RequestError`` or ``DataError`` before anything is fetched."""
    folders = [place for place in places if isinstance(place, Path) and place.is_dir()]
    if folders and len(places) > 1:
        raise RequestError(f"{folders[0]} is a folder: a folder is added alone, archives and URLs may be several")
    if sha256 and folders:
        raise RequestError("--sha256 is of a file; a folder has none")
    if sha256 and len(sha256) != len(places):
        raise RequestError(f"{len(sha256)} --sha256 for {len(places)} --from; give one for each, in the same order")
    for one in sha256:
        if not re.fullmatch(r"[0-9a-fA-F]{64}", one):
            raise RequestError(f"--sha256 {one}: expected 64 hex digits")
    for place in places:
        if isinstance(place, Path) and not place.is_dir() and not is_archive(place):
            missing = "" if place.exists() else ": it does not exist"
            raise DataError(f"{place} is no folder and no archive (zip, tar, tar.gz, tar.bz2, tar.xz){missing}")


def _bring(place: Path | str, scratch: Path, sha256: str | None, most: int | None, progress: Progress) -> Origin:
    """One archive or URL into ``scratch``."""
    if isinstance(place, Path):
        found = _verified(place, str(place), sha256)
        unpack(place, scratch, most, progress)
        return Origin(place=place.name, sha256=found)
    folder, files = downloads_of(place), download(place, progress)
    if len(files) > 1 or files[0].parent != Path():  # a folder of an object store, as it is
        if sha256:
            raise RequestError(f"--sha256: {plain(place)} is a folder; digests are of files")
        for file in files:
            _link(folder / file, scratch / file)
        return Origin(place=plain(place))
    file = folder / files[0]
    found = _verified(file, plain(place), sha256)
    if is_archive(file):
        unpack(file, scratch, most, progress)
    else:
        _link(file, scratch / file.name)
    return Origin(place=plain(place), sha256=found)


def _verified(file: Path, said: str, sha256: str | None) -> str:
    """The file's sha256; a downloaded file with another one than stated is deleted."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 and found != sha256.lower():
        if is_url(said):
            file.unlink()
        raise DataError(f"{said}: sha256 is {found}, expected {sha256.lower()}; the file is another one or damaged")
    return found


def _link(file: Path, target: Path) -> None:
    """A second name for the same bytes, or a copy where the file system has no such thing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() or target.name == UNPACKED:
        raise DataError(f"{target.name}: there is a file of this name already; add the files one by one")
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)


def _innermost(folder: Path) -> Path:
    """The folder below which the files lie: archives often hold one folder that holds everything."""
    while True:
        inside = [path for path in folder.iterdir() if path.name != KIND.mark]
        if len(inside) != 1 or not inside[0].is_dir() or _has_format(folder):
            return folder
        folder = inside[0]


def _has_format(folder: Path) -> bool:
    try:
        return bool(datasets.detect(folder))
    except RequestError:  # of several formats
        return True
    except DataError:
        return False
