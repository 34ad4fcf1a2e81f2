"""COCO's own captions_{train,val}2014.json, with Karpathy's splits.

``{"images": [{"id", "file_name"}], "annotations": [{"id", "image_id", "caption"}]}``. The split of an image comes
from the first of these that is there:

=====================================  =====================================
``dataset_coco.json``                  Karpathy's file, by ``cocoid``
``*{train,restval,val,test}*.txt``     an image's number or file name a line
``coco_{train,restval,dev,test}_ids.npy``  numbers of captions, as VSE++ has them
=====================================  =====================================

An image's id is its ``file_name``, a caption's id its number. Images in no split are left out and counted.

Source: X. Chen et al. (2015), Microsoft COCO Captions, arXiv 1504.00325.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from negbench.pipelines.datasets import karpathy
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading.annotations import Entry, Number, annotation_files, entry, items
from negbench.pipelines.reading.caption_rows import CaptionRows, split_named
from negbench.pipelines.reading.groups import STEM, one_dataset
from negbench.pipelines.reading.image_files import ImageFiles
from negbench.pipelines.reading.json_kind import read_as
from negbench.pipelines.reading.split_files import read_splits, split_files
from negbench.pipelines.sources import Source
from negbench.pipelines.store import load_array

PATTERN = "captions_*.json"


class CocoImage(Entry):
    """One of ``images``."""

    id: Number
    file_name: str


class Annotation(Entry):
    """One of ``annotations``."""

    id: Number
    image_id: Number
    caption: str


class CocoFile(Entry):
    """A whole file."""

    images: list[Any]
    annotations: list[Any]


def detect(folder: Path) -> str | None:
    """A file of captions."""
    found = annotation_files(folder, PATTERN)
    return found[0].name if found else None


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded."""
    root = source.root(name)
    files = annotation_files(root, PATTERN)
    if not files:
        raise DataError(f"{root}: no {PATTERN}")
    files = one_dataset(files, root, source.settings.get(STEM))
    rows = CaptionRows(source)
    names: dict[int, str] = {}
    said: dict[int, tuple[str, Annotation]] = {}
    for path in files:
        _read(path, rows, names, said)
    split_of, split_sources = _splits(root, rows, names, said)
    for where, annotation in said.values():
        if annotation.image_id in split_of:
            image, split = names[annotation.image_id], split_of[annotation.image_id]
            rows.caption(where, image, annotation.caption, split, caption_id=str(annotation.id))
        else:
            rows.leave_out("captions of images in no split")
    return rows.manifest(
        name, root, ImageFiles(root).places, [*files, *split_sources], order=[names[number] for number in split_of]
    )


def _read(path: Path, rows: CaptionRows, names: dict[int, str], said: dict[int, tuple[str, Annotation]]) -> None:
    """Add a file's images and captions, by their numbers."""
    whole = read_as(CocoFile, path, "coco")
    for number, value in enumerate(items(whole.images, f"{path}: images")):
        with rows.faults.row():
            image = entry(CocoImage, value, f"{path}: images[{number}]")
            names[image.id] = image.file_name
            rows.faults.good()
    for number, value in enumerate(items(whole.annotations, f"{path}: annotations")):
        where = f"{path}: annotations[{number}]"
        with rows.faults.row():
            annotation = entry(Annotation, value, where)
            if annotation.image_id not in names:
                raise DataError(f"{where}: there is no image {annotation.image_id}")
            if annotation.id in said:
                raise DataError(f"{where}: caption {annotation.id} stands twice")
            said[annotation.id] = (where, annotation)


def _splits(
    root: Path, rows: CaptionRows, names: dict[int, str], said: dict[int, tuple[str, Annotation]]
) -> tuple[dict[int, str], list[Path]]:
    """Split of each image by number, and the files that say so."""
    if annotation_files(root, *karpathy.PATTERNS):
        path = karpathy.file(root, "coco")
        read = dict(_karpathy(path, rows))
        return {number: split for number, split in read.items() if number in names}, [path]
    by_name = {*names.values(), *map(str, names)}
    if texts := split_files(root, knows=lambda name: Path(name).name in by_name):
        rows.split_by_lists = True
        number_of = {name: number for number, name in names.items()}
        listed = {
            int(image) if image.isdecimal() else number_of.get(Path(image).name): split
            for image, (split, _) in read_splits(texts, rows.dialects).items()
            if len(image) < 1000
        }
        return {number: split for number, split in listed.items() if number in names}, [path for _, path in texts]
    if arrays := split_files(root, (".npy",)):
        of_caption = {number: annotation.image_id for number, (_, annotation) in said.items()}
        return dict(_caption_numbers(arrays, of_caption)), [path for _, path in arrays]
    raise DataError(f"{root}: nothing says which image is in which split; put dataset_coco.json into it")


def _karpathy(path: Path, rows: CaptionRows) -> Iterator[tuple[int, str]]:
    for where, image in karpathy.images(path, rows):
        with rows.faults.row():
            if image.cocoid is None:
                raise DataError(f"{where}.cocoid: field required")
            yield image.cocoid, split_named(image.split, f"{where}.split")


def _caption_numbers(arrays: list[tuple[str, Path]], image_of: dict[int, int]) -> Iterator[tuple[int, str]]:
    for split, path in arrays:
        numbers = load_array(path)
        if not np.issubdtype(numbers.dtype, np.integer):
            raise DataError(f"{path}: {numbers.dtype} values, expected numbers of captions")
        for number in map(int, numbers.ravel()):
            if number not in image_of:
                raise DataError(f"{path}: there is no caption {number}")
            yield image_of[number], split
