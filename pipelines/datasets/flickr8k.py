"""Flickr8k's own files: images, captions, three split files, expert and crowd judgements.

Files of the folder: the pictures (in ``images/``, ``Images/``, ``Flicker8k_Dataset/`` or the folder itself),
``Flickr8k.token.txt`` (``name#k<TAB>caption``) or ``captions.txt`` (CSV ``image,caption``),
``Flickr_8k.{train,dev,test}Images.txt``, and where they are there ``ExpertAnnotations.txt`` and
``CrowdFlowerAnnotations.txt``.

Images come in the order of the split files. What real files have too much of is left out and counted: images
in no split, captions of unknown images, judgements of such pairs. Everything else that is wrong is an error.

Source: M. Hodosh, P. Young, J. Hockenmaier (2013), Framing Image Description as a Ranking Task, JAIR 47.
"""

import csv
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from pipelines.errors import DataError
from pipelines.files import file_digest, read_lines
from pipelines.manifest import Manifest, table
from pipelines.pictures import content as picture_content
from pipelines.sources import Source

SPLIT_FILES = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
IMAGE_FOLDERS = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", ".")
TOKENS, CAPTIONS = "Flickr8k.token.txt", "captions.txt"
EXPERT, CROWD = "ExpertAnnotations.txt", "CrowdFlowerAnnotations.txt"
PICTURES = {".jpg", ".jpeg", ".png"}

Captions = dict[str, tuple[str, str]]
"""Caption id to image id and text."""


def detect(folder: Path) -> bool:
    """Whether the split files are there."""
    return any((folder / file).exists() for file in SPLIT_FILES.values())


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture of a split is decoded."""
    root = source.root(name)
    pictures = _picture_folder(root)
    split_of = _splits(root)
    on_disk = {path.name for path in pictures.iterdir() if path.suffix.lower() in PICTURES}
    _no_missing(pictures, on_disk, split_of)
    captions, text_file = _captions(root)
    skipped: Counter[str] = Counter()
    rows = []
    for caption_id, (image_id, text) in captions.items():
        if image_id in split_of:
            rows.append((caption_id, image_id, text))
        elif image_id in on_disk:
            skipped["captions of images in no split"] += 1
        else:
            skipped["captions of unknown images"] += 1
    skipped["images in no split"] = len(on_disk - split_of.keys())
    _all_described(root / text_file, split_of, rows)
    contents = _decode_all(pictures, list(split_of))
    place = pictures.relative_to(root)
    order = {image_id: row for row, image_id in enumerate(split_of)}
    judgements, judged_files = _judgements(root, set(split_of), {row[0] for row in rows}, skipped)
    files = [text_file, *SPLIT_FILES.values(), *judged_files]
    return Manifest(
        name,
        images=table(
            "images",
            [(i, split, (place / i).as_posix(), -1, contents[i]) for i, split in split_of.items()],
        ),
        captions=table("captions", sorted(rows, key=lambda row: order[row[1]])),
        judgements=table("judgements", judgements),
        info={
            "images_are": "pictures",
            "skipped": {what: number for what, number in sorted(skipped.items()) if number},
            "files": {file: file_digest(root / file) for file in files},
        },
    )


def _picture_folder(root: Path) -> Path:
    for candidate in IMAGE_FOLDERS:
        folder = root / candidate
        if folder.is_dir() and any(path.suffix.lower() in PICTURES for path in folder.iterdir()):
            return folder
    raise DataError(f"{root}: no pictures in {', '.join(IMAGE_FOLDERS[:-1])} or the folder itself")


def _splits(root: Path) -> dict[str, str]:
    """Image id to split, in the order of the split files."""
    split_of: dict[str, str] = {}
    for split, file in SPLIT_FILES.items():
        for number, line in enumerate(read_lines(root / file), start=1):
            image_id = line.strip()
            if not image_id:
                raise DataError(f"{root / file}:{number}: empty line where an image's name should be")
            if image_id in split_of:
                raise DataError(f"{root / file}:{number}: {image_id} already stands in the {split_of[image_id]} split")
            split_of[image_id] = split
    return split_of


def _no_missing(pictures: Path, on_disk: set[str], split_of: dict[str, str]) -> None:
    missing = [image_id for image_id in split_of if image_id not in on_disk]
    if missing:
        file = SPLIT_FILES[split_of[missing[0]]]
        raise DataError(
            f"{len(missing):,} of {len(split_of):,} images of the split files are missing in {pictures};"
            f" the first: {missing[0]} ({file})"
        )


def _captions(root: Path) -> tuple[Captions, str]:
    if (root / TOKENS).exists():
        return _tokens(root / TOKENS), TOKENS
    if (root / CAPTIONS).exists():
        return _csv(root / CAPTIONS), CAPTIONS
    raise DataError(f"{root}: neither {TOKENS} nor {CAPTIONS}")


def _tokens(path: Path) -> Captions:
    captions: Captions = {}
    for number, line in enumerate(read_lines(path), start=1):
        caption_id, tab, text = line.partition("\t")
        image_id, mark, index = caption_id.rpartition("#")
        if not (tab and mark and image_id and index.isdigit()):
            raise DataError(f"{path}:{number}: not 'image#number<TAB>caption': {line[:60]!r}")
        _add(captions, path, number, caption_id, image_id, text)
    return captions


def _csv(path: Path) -> Captions:
    captions: Captions = {}
    seen: Counter[str] = Counter()
    reader = csv.reader(f"{line}\n" for line in read_lines(path))
    for row in reader:
        if reader.line_num == 1 and row == ["image", "caption"]:
            continue
        if len(row) != 2 or not row[0]:
            raise DataError(f"{path}:{reader.line_num}: not 'image,caption': {','.join(row)[:60]!r}")
        _add(captions, path, reader.line_num, f"{row[0]}#{seen[row[0]]}", row[0], row[1])
        seen[row[0]] += 1
    return captions


def _add(captions: Captions, path: Path, number: int, caption_id: str, image_id: str, text: str) -> None:
    text = text.strip()
    if not text:
        raise DataError(f"{path}:{number}: caption {caption_id} is empty")
    if caption_id in captions:
        raise DataError(f"{path}:{number}: caption {caption_id} stands twice")
    captions[caption_id] = (image_id, text)


def _all_described(path: Path, split_of: dict[str, str], rows: list[tuple[str, str, str]]) -> None:
    bare = split_of.keys() - {image_id for _, image_id, _ in rows}
    if bare:
        raise DataError(f"{path}: no caption for {len(bare):,} images of the split files; the first: {min(bare)}")


def _decode_all(pictures: Path, image_ids: list[str]) -> dict[str, str]:
    """Decode every picture; image id to a digest of its file. Pillow decodes in parallel threads."""

    def content(image_id: str) -> str | DataError:
        try:
            return picture_content(pictures / image_id)
        except DataError as error:
            return error

    with ThreadPoolExecutor() as pool:
        results = dict(zip(image_ids, pool.map(content, image_ids), strict=True))
    broken = [error for error in results.values() if isinstance(error, DataError)]
    if broken:
        more = f" (and {len(broken) - 1:,} more pictures)" if len(broken) > 1 else ""
        raise DataError(f"{broken[0]}{more}; get the file again")
    return {image_id: str(result) for image_id, result in results.items()}


def _judgements(
    root: Path, images: set[str], captions: set[str], skipped: Counter[str]
) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Rows of the table and the files they come from; pairs outside the manifest are counted in ``skipped``."""
    rows = []
    files = []
    for file, origin, rate in ((EXPERT, "expert", _expert), (CROWD, "crowd", _crowd)):
        if not (root / file).exists():
            continue
        files.append(file)
        for number, line in enumerate(read_lines(root / file), start=1):
            fields = line.split("\t")
            match = rate(fields[2:]) if len(fields) == 5 else None
            if match is None:
                raise DataError(f"{root / file}:{number}: not image, caption id and {rate.__doc__}: {line[:80]!r}")
            if fields[0] in images and fields[1] in captions:
                rows.append((fields[0], fields[1], match, origin))
            else:
                skipped[f"{origin} judgements of unknown pairs"] += 1
    return rows, files


def _expert(scores: list[str]) -> float | None:
    """three scores from 1 to 4"""
    if any(score not in ("1", "2", "3", "4") for score in scores):
        return None
    return (median(int(score) for score in scores) - 1) / 3


def _crowd(votes: list[str]) -> float | None:
    """share of yes, yes, no"""
    try:
        share, yes, no = float(votes[0]), int(votes[1]), int(votes[2])
    except ValueError:
        return None
    return share if 0 <= share <= 1 and yes >= 0 and no >= 0 else None
