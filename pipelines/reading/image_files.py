"""Where a source's pictures are: files below its folder, or bytes inside its archives.

Pictures inside archives (tar shards, Parquet) are taken out into ``data/<dataset>/images/``, each once, under the
digest of its bytes. From there on they are files like any others.
"""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath

from negbench.pipelines.errors import DataError
from negbench.pipelines.files import POINTER, digest
from negbench.pipelines.reading import pictures
from negbench.pipelines.reading.caption_rows import CaptionRows, Place

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
SIGNATURES = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp"}


def form(name: str) -> str:
    """What is equal of names that look the same: letters composed, without case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class ImageFiles:
    """The picture files anywhere below a folder; links to folders are followed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[str] = []
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for file in files_below(root):
            path = PurePosixPath(file)
            if path.suffix.lower() in SUFFIXES:
                self.files.append(file)
                self._by_name[path.name].append(file)
                self._by_name[path.stem].append(file)  # split files often name images without the suffix
        self._all = set(self.files)

    @cached_property
    def _by_form(self) -> dict[str, list[str]]:
        """The files by ``form``; made when a name is not found as it stands."""
        found: dict[str, list[str]] = defaultdict(list)
        for name, files in self._by_name.items():
            found[form(name)] += files
        return found

    def __contains__(self, file: str) -> bool:
        return file in self._all

    def knows(self, name: str) -> bool:
        """Whether a picture has this name, with or without its folder and its suffix."""
        return PurePosixPath(name).name in self._by_name or form(PurePosixPath(name).name) in self._by_form

    def find(self, name: str, where: str) -> str | None:
        """The file that ``name`` means: that path, or the one file whose path ends so, or the one of that name.

        Where no file is named just so, letters may be composed in another way (as macOS writes them) or be of another
        case. None where there is none; ``DataError`` where there are several.
        """
        if name in self._all:
            return name
        same = self._by_name.get(PurePosixPath(name).name, [])
        found = [file for file in same if f"/{file}".endswith(f"/{name}")] or same
        if not found:
            same = self._by_form.get(form(PurePosixPath(name).name), [])
            found = [file for file in same if form(f"/{file}").endswith(form(f"/{name}"))] or same
        if len(found) > 1:
            raise DataError(f"{where}: {name} could be {found[0]} or {found[1]} in {self.root}")
        return found[0] if found else None

    def _one(self, image: str, name: str, where: str, image_of: dict[str, str]) -> str:
        """The file of an image; ``DataError`` where there is none, or it is the file of an id that looks the same."""
        file = self.find(name, where)
        if file is None:
            raise DataError(f"{where}: there is no picture {name} under {self.root}")
        other = image_of.setdefault(file, image)
        if other != image and form(other) == form(image):
            raise DataError(f"{where}: {image!a} and {other!a} are both the picture {file}; write one name in one way")
        return file

    def places(self, rows: CaptionRows) -> dict[str, Place]:
        """The file of every image, decoded once; ``DataError`` on missing and broken ones."""
        found: dict[str, str] = {}
        image_of: dict[str, str] = {}
        faulty = []
        for image, name in rows.pictures.items():
            try:
                file = self._one(image, name, rows.where[image], image_of)
            except DataError as error:
                faulty.append(str(error))
            else:
                found[image] = file
        if faulty and not found:
            raise DataError(faulty[0] + (f", nor any other of {len(faulty):,}" if len(faulty) > 1 else ""))
        for fault in faulty:
            rows.faults.add(fault)
        contents = decode_all(self.root, found.values(), rows.faults.add)
        return {image: Place(file, -1, contents[file]) for image, file in found.items() if file in contents}


def files_below(root: Path) -> list[str]:
    """Paths of all files below ``root``, relative to it, sorted; hidden ones are let be."""
    found: list[str] = []
    seen: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            below.clear()
            continue
        seen.add(real)
        below[:] = [name for name in below if not name.startswith(".") and name != "__MACOSX"]
        place = Path(folder).relative_to(root)
        found += [(place / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)


def has_pictures(folder: Path) -> bool:
    """Whether there are pictures anywhere below a folder."""
    return any(PurePosixPath(file).suffix.lower() in SUFFIXES for file in files_below(folder))


def decode_all(root: Path, files: Iterable[str], fault: Callable[[str], None]) -> dict[str, str]:
    """Decode every picture; file to its digest. Broken ones go to ``fault``, which may raise; ``DataError`` of all."""

    def content(file: str) -> str | DataError:
        try:
            return pictures.content(root / file)
        except DataError as error:
            return error

    files = list(dict.fromkeys(files))
    with ThreadPoolExecutor() as pool:
        results = dict(zip(files, pool.map(content, files), strict=True))
    broken = [error for error in results.values() if isinstance(error, DataError)]
    for number, error in enumerate(broken):
        more = f" (and {len(broken) - 1:,} more pictures)" if len(broken) > 1 and not number else ""
        said = f"{error}{more}" + ("" if POINTER in str(error) else "; get the file again")
        if len(broken) == len(files):
            raise DataError(said)  # to leave them out would leave nothing
        fault(said)
    return {file: result for file, result in results.items() if isinstance(result, str)}


class TakenOut:
    """Pictures taken out of archives into a dataset's own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, Place] = {}
        (folder / "images").mkdir()

    def keep(self, image: str, data: bytes, where: str) -> None:
        """Write an image's bytes where they are a picture; ``DataError`` where not, or where it had others."""
        content = digest(data)
        before = self._places.get(image)
        if before is not None and before.content != content:
            raise DataError(f"{where}: {image} is another picture than before")
        if before is not None:
            return
        pictures.decode(data, where)
        suffix = next((end for start, end in SIGNATURES.items() if data.startswith(start)), ".img")
        place = Place(f"images/{content}{suffix}", -1, content)
        (self.folder / place.file).write_bytes(data)
        self._places[image] = place

    def places(self, rows: CaptionRows) -> dict[str, Place]:
        """Where the images of the rows are."""
        return {image: self._places[image] for image in rows.pictures if image in self._places}
