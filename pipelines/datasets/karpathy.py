"""Karpathy's JSON with all captions and splits: dataset_{flickr8k,flickr30k,coco}.json.

``{"images": [{"filename", "filepath", "split", "sentences": [{"raw", "sentid"}], "cocoid"}]}``; ``filepath`` and
``cocoid`` only for COCO. ``restval`` is training. The pictures lie anywhere below the folder.

An image's id is its ``filename``. COCO's captions keep their ids (``sentid``), others are numbered per image.

Source: A. Karpathy, L. Fei-Fei (2015), Deep Visual-Semantic Alignments for Generating Image Descriptions, CVPR.
"""

from pathlib import Path
from typing import Any

from pipelines.annotations import Entry, annotation_files, entry, items, read_json
from pipelines.errors import DataError
from pipelines.image_files import ImageFiles
from pipelines.manifest import Manifest
from pipelines.rows import Rows, split_named
from pipelines.sources import Source

EXPECTS = "dataset_*.json or dataset.json"
PATTERNS = ("dataset_*.json", "dataset.json")


class Image(Entry):
    """One of ``images``."""

    filename: str
    filepath: str = ""
    split: str
    sentences: list[Any]
    cocoid: int | None = None


class Sentence(Entry):
    """One of an image's ``sentences``."""

    raw: str
    sentid: int | None = None


class Dataset(Entry):
    """The whole file."""

    images: list[Any]


def detect(folder: Path) -> str | None:
    """The file; none beside COCO's own captions, for which it is the list of splits."""
    found = annotation_files(folder, *PATTERNS)
    return found[0].name if found and not annotation_files(folder, "captions_*.json") else None


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded."""
    root = source.root(name)
    path = file(root)
    rows = Rows(source)
    for where, image in images(path, rows):
        with rows.faults.row():
            split = split_named(image.split, where)
            for number, value in enumerate(items(image.sentences, f"{where}.sentences")):
                with rows.faults.row():
                    said = entry(Sentence, value, f"{where}.sentences[{number}]")
                    rows.caption(
                        f"{where}.sentences[{number}]",
                        image.filename,
                        said.raw,
                        split,
                        caption_id=None if image.cocoid is None or said.sentid is None else str(said.sentid),
                        picture=f"{image.filepath}/{image.filename}" if image.filepath else None,
                    )
    return rows.manifest(name, root, ImageFiles(root).places, [path])


def file(root: Path) -> Path:
    """The one such file."""
    found = annotation_files(root, *PATTERNS)
    if len(found) != 1:
        seen = f"{len(found)}: {found[0].name}, {found[1].name}" if found else "none"
        raise DataError(f"{root}: expected one {EXPECTS}, found {seen}")
    return found[0]


def images(path: Path, rows: Rows) -> list[tuple[str, Image]]:
    """The images, each with its place in the file."""
    whole = entry(Dataset, read_json(path), f"{path}: ")
    found = []
    for number, value in enumerate(items(whole.images, f"{path}: images")):
        with rows.faults.row():
            where = f"{path}: images[{number}]"
            found.append((where, entry(Image, value, where)))
    return found
