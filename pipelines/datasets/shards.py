"""Tar shards of webdataset and img2dataset: members of one key are a sample, KEY.jpg with KEY.txt or KEY.json.

A key ends at the first dot of a member's name, as webdataset has it; where a sample has no KEY.jpg, KEY.ANYTHING.jpg is
its picture, if it is the only one, and likewise for texts. KEY.jpg beside KEY.png is
refused. Members of other kinds are counted.

Captions are ``captions`` or ``caption`` of the JSON, else the lines of the text. A sample whose JSON says another
``status`` than success is left out and counted. An image's id is its shard's path without ``.tar``, a slash and the
key. The split is ``split`` of the JSON, else in the name of the shard or its folder (``train-0000.tar``,
``train/0000.tar``), else decided by the id (``negbench.pipelines.reading.caption_rows``).

The pictures are taken out into the dataset's own folder (``negbench.pipelines.reading.image_files``).
"""

import tarfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from negbench.pipelines.errors import DataError, damage
from negbench.pipelines.files import open_plain
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import columns
from negbench.pipelines.reading.annotations import annotation_files, not_utf8, parse_json
from negbench.pipelines.reading.caption_rows import CaptionRows, splits_of_files
from negbench.pipelines.reading.groups import STEM, one_dataset
from negbench.pipelines.reading.image_files import SUFFIXES, TakenOut
from negbench.pipelines.sources import Source
from negbench.pipelines.sources.archives import LARGEST_READ, open_tar

EXPECTS = "*.tar (also in folders named by split) with KEY.jpg and KEY.txt or KEY.json"
TAKES_OUT = True
WANTED = {*SUFFIXES, ".txt", ".json"}
MOST_BYTES = 1 << 30  # of one member

Sample = dict[str, bytes]
"""Suffix to bytes."""


def detect(folder: Path) -> str | None:
    """A shard."""
    return next((path.name for path in annotation_files(folder, "*.tar")), None)


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded and written into ``folder``."""
    root = source.folder(name)
    files = annotation_files(root, "*.tar")
    if not files:
        raise DataError(f"{root}: no {EXPECTS}")
    files = one_dataset(files, root, source.settings.get(STEM))
    rows, taken = CaptionRows(source), TakenOut(folder)
    for path, of_file in splits_of_files(files).items():
        shard = path.relative_to(root).with_suffix("").as_posix()
        for key, sample in _samples(path, rows):
            where = f"{path}: {key}"
            with rows.row(where):
                about = _about(sample, where)
                if about.get("status", "success") != "success":
                    rows.leave_out("samples that img2dataset could not get")
                    continue
                split = columns.split(about, "split", where) or of_file
                texts = _texts(sample, about, where)
                image = _part(sample, SUFFIXES, where)
                if image is None:
                    raise DataError(f"{where}: no picture ({', '.join(sorted(sample))} only)")
                taken.keep(f"{shard}/{key}", sample[image], f"{where}{image}")
                for text in texts:
                    rows.caption(where, f"{shard}/{key}", text, split)
    return rows.manifest(name, root, taken.places, files)


def _samples(path: Path, rows: CaptionRows) -> Iterator[tuple[str, Sample]]:
    """Members of one key that follow each other."""
    key, sample = "", Sample()
    for member, data in _members(path, rows):
        place = PurePosixPath(member)
        of, dot, suffix = place.name.partition(".")
        found, suffix = str(place.with_name(of)) if of else "", f"{dot}{suffix}".lower()
        if found != key and sample:
            yield key, sample
            sample = {}
        if suffix in sample:
            raise DataError(f"{path}: {member} stands twice")
        key, sample[suffix] = found, data
    if sample:
        yield key, sample


def _part(sample: Sample, ends: Iterable[str], where: str) -> str | None:
    """The suffix of a sample's one member with such an end; ``DataError`` where several could be meant."""
    ends = tuple(ends)
    key = where.rpartition(": ")[2]
    plain = [suffix for suffix in sample if suffix in ends]
    if len(plain) > 1:
        raise DataError(f"{where}{plain[0]} or {key}{plain[1]}? a sample has one picture; leave the other out")
    if plain:
        return plain[0]
    dotted = [suffix for suffix in sample if suffix.endswith(ends)]
    if len(dotted) > 1:
        raise DataError(f"{where}{dotted[0]} or {key}{dotted[1]}? a key ends at the first dot; name each otherwise")
    return dotted[0] if dotted else None


def _members(path: Path, rows: CaptionRows) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of plain files; ``DataError`` where the archive is damaged or cut."""
    try:
        with open_plain(path) as raw, open_tar(path, raw, _uncounted) as tar:
            for member in tar:
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse() or not 0 <= member.size <= MOST_BYTES:
                    rows.skipped["members of shards that are no plain files, or too large"] += 1
                elif PurePosixPath(member.name).suffix.lower() not in WANTED:
                    rows.skipped["members of shards that are no picture, text or JSON"] += 1
                else:
                    file = tar.extractfile(member)
                    assert file is not None
                    yield member.name, b"".join(iter(partial(file.read, LARGEST_READ // 2), b""))
            end = tar.offset
            raw.seek(end)  # tarfile takes a broken header for the end
            if raw.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise DataError(f"{path}: damaged at byte {end:,}; get the file again")
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a tar archive that can be read: {damage(error)}") from None


def _uncounted(more: int) -> None:
    """Shards are not packed: they hold no more than their size."""


def _about(sample: Sample, where: str) -> dict[str, Any]:
    part = _part(sample, [".json"], where)
    if part is None:
        return {}
    about = parse_json(_text(sample[part], f"{where}{part}"), f"{where}{part}")
    if not isinstance(about, dict):
        raise DataError(f"{where}{part}: not an object")
    return about


def _texts(sample: Sample, about: dict[str, Any], where: str) -> list[str]:
    if found := columns.caption_columns(name for name in about if about[name] is not None):
        return columns.texts(about, found, f"{where}.json")
    part = _part(sample, [".txt"], where)
    if part is None:
        raise DataError(f"{where}: no caption")
    return [line for line in _text(sample[part], f"{where}{part}").split("\n") if line.strip()] or [""]


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{where}:{line}: {not_utf8(data, error)}") from None
