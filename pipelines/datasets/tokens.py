"""Flickr's caption files: *.token, Flickr8k.token.txt, captions.txt or results.csv, with a list of ids per split.

========================  ==================================================
``*.token``,              ``image#k<TAB>caption``, as in ``results_20130124.token``
``Flickr8k.token.txt``
``captions.txt``          CSV ``image,caption`` or ``image,number,caption``, with or without a first line of names
``results.csv``           the same with ``| `` between
========================  ==================================================

``train.txt``, ``val.txt``, ``test.txt`` or the like hold an image's name a line, with or without suffix; images in
none of them are left out and counted. Without such files an image's split is decided by its id
(``negbench.pipelines.reading.caption_rows``). The pictures lie anywhere below the folder.

Source: P. Young et al. (2014), From image descriptions to visual denotations, TACL 2.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading.annotations import Faults, annotation_files, lines
from negbench.pipelines.reading.caption_rows import CaptionRows
from negbench.pipelines.reading.csv_rows import Knows, records
from negbench.pipelines.reading.groups import STEM, the_one
from negbench.pipelines.reading.image_files import ImageFiles
from negbench.pipelines.reading.split_files import read_splits, split_files
from negbench.pipelines.sources import Source

PATTERNS = ("Flickr8k.token.txt", "*.token", "captions.txt", "results.csv")
"""The first that is there is read."""

CaptionFields = tuple[str, str, str, str]
"""Where it stands, image, caption id, text."""


def detect(folder: Path) -> str | None:
    """The caption file; none beside files of Flickr8k or Flickr30K Entities, which have readers of their own."""
    if annotation_files(folder, "Flickr_8k.*Images.txt") or (folder / "UNRELATED_CAPTIONS").is_file():
        return None
    found = [path for pattern in PATTERNS for path in annotation_files(folder, pattern)]
    return found[0].name if found else None


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded."""
    root = source.root(name)
    return read(name, source, split_files(root, knows=ImageFiles(root).knows))


def read(name: str, source: Source, splits: list[tuple[str, Path]]) -> Manifest:
    """The manifest of the caption file under the split files, where there are any."""
    root = source.root(name)
    files = ImageFiles(root)
    rows = CaptionRows(source)
    listed = _with_suffix(read_splits(splits, rows.dialects), files)
    path, others = caption_files(files, source.settings.get(STEM))
    rows.split_by_lists = bool(listed)
    rows.unused |= {other.relative_to(root).as_posix(): f"the captions are read from {path.name}" for other in others}
    captions = _captions(path, rows.faults, files.knows)
    for where, image, caption_id, text in captions:
        with rows.row(where):
            file = files.find(image, where) if listed and image not in listed else None
            known = image if image in listed or file is None else Path(file).name  # as the picture's file is spelt
            if not listed:
                rows.caption(where, image, text, caption_id=caption_id)
            elif known in listed:
                rows.caption(where, known, text, listed[known][0], caption_id=caption_id)
            else:
                rows.leave_out(f"captions of {'images in no split' if file else 'unknown images'}")
    if listed:
        rows.skipped["images in no split"] = len({Path(file).name for file in files.files} - listed.keys())
        bare = listed.keys() - rows.pictures.keys()
        if bare and not rows.faults.found:
            raise DataError(f"{path}: no caption for {len(bare):,} images of the split files; the first: {min(bare)}")
    return rows.manifest(name, root, files.places, [path, *(file for _, file in splits)], order=list(listed) or None)


def caption_files(files: ImageFiles, stem: str | None) -> tuple[Path, list[Path]]:
    """The file with the captions, and others of such a name.

    ``DataError`` where another has captions of other pictures: then these are two datasets.
    """
    root = files.root
    every = [path for pattern in PATTERNS for path in annotation_files(root, pattern)]
    every = list(dict.fromkeys(every))
    if not every:
        raise DataError(f"{root}: none of {', '.join(PATTERNS)}")
    first = next(pattern for pattern in PATTERNS if annotation_files(root, pattern))
    chosen = the_one(every if stem else annotation_files(root, first), root, first, stem)
    others = [path for path in every if path != chosen]
    images = _images(chosen) if others and stem is None else set()
    for other in others if images else []:
        theirs = _images(other)
        if not images & theirs and any(map(files.knows, theirs)):
            names = f"{chosen.relative_to(root).as_posix()} and {other.relative_to(root).as_posix()}"
            raise DataError(f"{root} holds several datasets: {names} name other images; take one with --stem")
    return chosen, others


def _images(path: Path) -> set[str]:
    """The images that a caption file names, however badly it is written."""
    return {image for _, image, *_ in _captions(path, Faults(skip=True))}


def _with_suffix(listed: dict[str, tuple[str, str]], files: ImageFiles) -> dict[str, tuple[str, str]]:
    """The lists with the full names of the pictures; ``DataError`` where some are not there."""
    found: dict[str, tuple[str, str]] = {}
    missing = []
    for image, (split, where) in listed.items():
        file = files.find(image, where)
        if file is None:
            missing.append(image)
        else:
            found[Path(file).name] = (split, where)
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(listed):,} images of the split files are missing under {files.root};"
            f" the first: {missing[0]} ({listed[missing[0]][1]})"
        )
    return found


def _captions(path: Path, faults: Faults, knows: Knows | None = None) -> Iterator[CaptionFields]:
    if path.suffix == ".csv":
        return _rows(path, ((number, _bars(line)) for number, line in lines(path, faults)), faults)
    if path.name == "captions.txt":
        return _rows(path, records(path, faults, knows=knows), faults)
    return _tokens(path, faults)


def _tokens(path: Path, faults: Faults) -> Iterator[CaptionFields]:
    for number, line in lines(path, faults):
        caption_id, tab, text = line.partition("\t")
        image, mark, index = caption_id.rpartition("#")
        if tab and mark and image and index.isdecimal():
            yield f"{path}:{number}", image, caption_id, text
        else:
            faults.add(f"{path}:{number}: not 'image#number<TAB>caption': {line[:60]!r}")


def _bars(line: str) -> list[str]:
    """``image| number| caption``; the caption may hold a bar, too."""
    return [field.strip() for field in line.split("|", 2)]


def _rows(path: Path, found: Iterator[tuple[int, list[str]]], faults: Faults) -> Iterator[CaptionFields]:
    """Rows ``image, caption`` or ``image, number, caption``, as many fields as the first row has."""
    seen: Counter[str] = Counter()
    width = 0
    for number, fields in found:
        fields = [field.strip() for field in fields]
        if not width:
            width = 3 if len(fields) == 3 else 2
            if fields[0] in ("image", "image_name") and fields[-1] in ("caption", "comment"):
                continue
        if len(fields) != width or not fields[0]:
            what = "image,caption" if width == 2 else "image,number,caption"
            faults.add(f"{path}:{number}: not '{what}': {','.join(fields)[:60]!r}")
            continue
        yield f"{path}:{number}", fields[0], f"{fields[0]}#{seen[fields[0]]}", fields[-1]
        seen[fields[0]] += 1
