"""Karpathy's JSON with all captions and splits: dataset_{flickr8k,flickr30k,coco}.json.

``{"images": [{"filename", "filepath", "split", "sentences": [{"raw", "sentid"}], "cocoid"}]}``; ``filepath`` and
``cocoid`` only for COCO. ``restval`` is training. The pictures lie anywhere below the folder. Of several such files,
as in caption_datasets.zip, the dataset's name says which one is meant: ``f8k``, ``f30k`` or ``coco``.

An image's id is its ``filename``. COCO's captions keep their ids (``sentid``), others are numbered per image.

Source: A. Karpathy, L. Fei-Fei (2015), Deep Visual-Semantic Alignments for Generating KarpathyImage Descriptions, CVPR.
"""

from pathlib import Path
from typing import Any

from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading.annotations import Entry, Number, annotation_files, entry, items
from negbench.pipelines.reading.caption_rows import CaptionRows, split_named
from negbench.pipelines.reading.groups import STEM, the_one
from negbench.pipelines.reading.image_files import ImageFiles
from negbench.pipelines.reading.json_kind import read_as
from negbench.pipelines.sources import Source

EXPECTS = "dataset_*.json or dataset.json"
PATTERNS = ("dataset_*.json", "dataset.json")
FILE_OF = {"f8k": "dataset_flickr8k.json", "f30k": "dataset_flickr30k.json", "coco": "dataset_coco.json"}
"""The file of a well-known dataset, where there are several."""


class KarpathyImage(Entry):
    """One of ``images``."""

    filename: str
    filepath: str = ""
    split: str
    sentences: list[Any]
    cocoid: Number | None = None


class Sentence(Entry):
    """One of an image's ``sentences``."""

    raw: str
    sentid: Number | None = None


class KarpathyFile(Entry):
    """The whole file."""

    images: list[Any]


def detect(folder: Path) -> str | None:
    """The file; none beside COCO's own captions, for which it is the list of splits."""
    found = annotation_files(folder, *PATTERNS)
    return found[0].name if found and not annotation_files(folder, "captions_*.json") else None


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded."""
    root = source.root(name)
    path = file(root, name, source.settings.get(STEM))
    rows = CaptionRows(source)
    others = [other.relative_to(root).as_posix() for other in annotation_files(root, *PATTERNS) if other != path]
    rows.unused |= dict.fromkeys(others, f"{path.name} is read")
    for where, image in images(path, rows):
        with rows.row(where):
            split = split_named(image.split, where)
            for number, value in enumerate(items(image.sentences, f"{where}.sentences")):
                with rows.row(where):
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


def file(root: Path, name: str, stem: str | None = None) -> Path:
    """The one such file, or of several the one that ``stem`` names, or that of the well-known dataset ``name``."""
    found = annotation_files(root, *PATTERNS)
    if stem is not None:
        return the_one(found, root, EXPECTS, stem)
    chosen = [path for path in found if path.name == FILE_OF.get(name)] if len(found) > 1 else found
    if len(chosen) != 1:
        seen = f"{', '.join(path.name for path in found)}; name the dataset {', '.join(FILE_OF)}, or leave one file"
        raise DataError(f"{root}: expected one {EXPECTS}, found {seen if found else 'none'}")
    return chosen[0]


def images(path: Path, rows: CaptionRows) -> list[tuple[str, KarpathyImage]]:
    """The images, each with its place in the file."""
    whole = read_as(KarpathyFile, path, "karpathy")
    found = []
    for number, value in enumerate(items(whole.images, f"{path}: images")):
        with rows.faults.row():
            where = f"{path}: images[{number}]"
            found.append((where, entry(KarpathyImage, value, where)))
            rows.faults.good()
    return found
