"""Multi30K: a file of picture names and a file of sentences for each language, line by line.

=======================================  ==============================================================
``image_splits/<set>.txt``               a picture's name a line; ``<set>_images.txt`` and ``name.jpg#id`` too
``raw/<set>.<language>.gz``              the sentence of each of these lines (task 1)
``raw/<set>.<number>.<language>.gz``     five of each (task 2)
=======================================  ==============================================================

Sets are ``train``, ``val`` and ``test_2016_flickr``, ``test_2017_mscoco``, ...: of several test sets that of 2016 is
read, or the one that the setting ``test_set`` names. Captions are English, or in the ``languages`` that are named; a
caption's id says its own (``1000092795.jpg#de.0``). Sentences may lie there unpacked. The pictures lie anywhere below.

Source: D. Elliott et al. (2016), Multi30K: Multilingual English-German Image Descriptions, VL workshop at ACL.
"""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from negbench.pipelines.errors import DataError, damage
from negbench.pipelines.files import open_plain
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import languages
from negbench.pipelines.reading.annotations import Faults, lines, not_utf8
from negbench.pipelines.reading.caption_rows import CaptionRows, split_of_file
from negbench.pipelines.reading.image_files import ImageFiles
from negbench.pipelines.sources import Source
from negbench.pipelines.sources.archives import limit_of

SETTINGS = ("languages", "test_set")
LISTS, SENTENCES = "image_splits", "raw"
NAME = re.compile(r"(?P<part>\w+?)(\.(?P<number>\d))?\.(?P<language>[a-z]{2,3})(\.gz)?")
USUAL_TEST = "test_2016"


@dataclass(frozen=True)
class Sentences:
    """A file of them."""

    path: Path
    number: str
    """Of several for each picture; empty where there is one."""
    part: str
    """The set: ``train``, ``val``, ``test_2016_flickr``, ..."""
    language: str


def detect(folder: Path) -> str | None:
    """Sentences beside lists of names."""
    found = _sentences(folder) if _lists(folder) else []
    return found[0].path.relative_to(folder).as_posix() if found else None


def almost(folder: Path) -> str | None:
    """The folder of both tasks."""
    near = (path for pattern in ("task[12]", "*/task[12]", "*/*/task[12]") for path in sorted(folder.glob(pattern)))
    inside = [path for path in near if (path / LISTS).is_dir()]
    return f"give the folder of one task: {' or '.join(map(str, inside))}" if inside else None


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded."""
    root = source.root(name)
    rows = CaptionRows(source)
    lists, (found, twice) = _lists(root), _once(root, _sentences(root))
    wanted = languages.chosen(source, root, (each.language for each in found))
    test = _test_set(root, source, lists)
    _check_sets(root, lists, found, wanted, test)
    number: Counter[tuple[str, str]] = Counter()
    files = []
    rows.unused |= {
        path.relative_to(root).as_posix(): f"the test set is {test}"
        for part, path in lists.items()
        if _is_other(part, test)
    }
    for each in found:
        reason = _unwanted(each, wanted, lists, test)
        if reason:
            rows.leave_out(reason, sum(1 for _ in _content(each.path)))
            continue
        files += [lists[each.part], each.path]
        _read(rows, each, lists[each.part], number)
    manifest = rows.manifest(name, root, ImageFiles(root).places, list(dict.fromkeys(files)))
    manifest.info["notes"] = [
        languages.told(wanted, (each.language for each in found)),
        f"the test set is {test}",
        *twice,
    ]
    return manifest


def _once(root: Path, found: list[Sentences]) -> tuple[list[Sentences], list[str]]:
    """Without what lies there packed and unpacked, which is told; ``DataError`` where the two differ."""
    twice = []
    first: dict[tuple[str, str, str], Sentences] = {}
    for each in found:
        before = first.setdefault((each.part, each.number, each.language), each)
        if before is not each:
            if list(_content(before.path)) != list(_content(each.path)):
                raise DataError(f"{before.path} and {each.path.name} differ; move one out of the folder")
            twice.append(f"{each.path.relative_to(root).as_posix()} is not read: the same as {before.path.name}")
    return list(first.values()), twice


def _check_sets(root: Path, lists: dict[str, Path], found: list[Sentences], wanted: list[str], test: str) -> None:
    """``DataError`` where a split has two sets, or a set that is read lacks a language."""
    part_of: dict[str | None, str] = {}
    for part in (part for part in lists if not _is_other(part, test)):
        before = part_of.setdefault(split := split_of_file(Path(part)), part)
        if before != part:
            raise DataError(f"{lists[before]} and {lists[part].name} are both lists of {split}; move one elsewhere")
    for part in part_of.values():
        there = {each.language for each in found if each.part == part}
        for language in wanted:
            if language not in there:
                has = f"--languages takes {', '.join(sorted(there))} for it" if there else "nor in any language"
                raise DataError(f"{root / SENTENCES}: no {part}.{language}.gz, the sentences of {part}; {has}")


def _read(rows: CaptionRows, sentences: Sentences, names_file: Path, number: Counter[tuple[str, str]]) -> None:
    """Add the captions of a file."""
    names = [(k, line.partition("#")[0].strip()) for k, line in lines(names_file, Faults(whole=True))]
    content = list(_content(sentences.path))
    if len(content) != len(names):
        raise DataError(f"{sentences.path}: {len(content):,} sentences for {len(names):,} names in {names_file}")
    split = split_of_file(Path(sentences.part))
    for (line, image), raw in zip(names, content, strict=True):
        where = f"{sentences.path}:{line}"
        with rows.row(where):
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                raise DataError(f"{where}: {not_utf8(raw, error)}") from None
            place = number[image, sentences.language]
            number[image, sentences.language] += 1
            rows.caption(where, image, text, split, caption_id=f"{image}#{sentences.language}.{place}")


def _unwanted(sentences: Sentences, wanted: list[str], lists: dict[str, Path], test: str) -> str | None:
    """Why a file is not read."""
    if sentences.part not in lists:
        return f"captions of {sentences.part}, of which no list names the pictures"
    if _is_other(sentences.part, test):
        return f"captions of {sentences.part}, another test set"
    return None if sentences.language in wanted else f"captions in {sentences.language}"


def _is_other(part: str, test: str) -> bool:
    """Whether a set is a test set, but not the one that is read."""
    return part != test and split_of_file(Path(part)) == "test"


def _test_set(root: Path, source: Source, lists: dict[str, Path]) -> str:
    """The one that is read."""
    there = [part for part in lists if split_of_file(Path(part)) == "test"]
    said = source.settings.get("test_set")
    if said is not None:
        found = [part for part in there if part == said]
    else:
        found = there if len(there) == 1 else [part for part in there if part.startswith(USUAL_TEST)]
    if len(found) != 1:
        raise DataError(f"{root}: choose one test set with --test-set: {', '.join(there) or 'there is none'}")
    return found[0]


def _lists(root: Path) -> dict[str, Path]:
    """Set to its list of names."""
    found: dict[str, Path] = {}
    for path in sorted((root / LISTS).glob("*.txt")):
        other = found.setdefault(path.stem.removesuffix("_images"), path)
        if other != path:
            raise DataError(f"{other} and {path.name} are both lists of one set; move one elsewhere")
    return {part: path for part, path in found.items() if split_of_file(Path(part))}


def _sentences(root: Path) -> list[Sentences]:
    """The files of sentences, train first, by language and number."""
    found = []
    for path in (root / SENTENCES).glob("*"):
        match = NAME.fullmatch(path.name)
        if match and path.is_file() and split_of_file(Path(match["part"])):
            found.append(Sentences(path, match["number"] or "", match["part"], match["language"]))
    packed_first = sorted(found, key=lambda each: each.path.suffix != ".gz")
    return sorted(packed_first, key=lambda each: (each.part != "train", each.part, each.language, each.number))


def _content(path: Path) -> Iterator[bytes]:
    """The lines of a file, unpacked where its name says that it is packed."""
    try:
        with open_plain(path) as file:
            limit = limit_of(path)
            data = gzip.GzipFile(fileobj=file).read(limit + 1) if path.suffix == ".gz" else file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not gzip that can be read: {damage(error)}") from None
    if len(data) > limit:
        raise DataError(f"{path}: unpacks to more than {limit / 1e6:,.0f} MB; not a file of sentences")
    every = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return (line.removesuffix(b"\r") for line in (every[:-1] if every[-1] == b"" else every))
