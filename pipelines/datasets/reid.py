"""Text-based person search: one JSON list whose rows say split, captions, picture and person.

``[{"split": "train", "captions": ["...", "..."], "file_path": "CUHK01/0363004.png", "id": 1}]``, as in CUHK-PEDES
(``reid_raw.json``), ICFG-PEDES (``ICFG-PEDES.json``) and RSTPReid (``data_captions.json``, where ``file_path`` is
``img_path``). The pictures lie anywhere below the folder. An image's id is its path as it stands there.

This field counts any picture of the right person as found. Both are kept: a caption is labelled with its own picture,
and judged (source ``identity``) to match every other picture of the same ``id`` in the split. Without ``id`` in any
row there is nothing to judge; without it in some they are refused. A number may be text.

Source: S. Li et al. (2017), Person Search with Natural Language Description, CVPR.
"""

from dataclasses import replace
from pathlib import Path

from pydantic import Field

from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest, table
from negbench.pipelines.reading.annotations import Entry, annotation_files, entry, items, read_json
from negbench.pipelines.reading.caption_rows import CaptionRows, split_named
from negbench.pipelines.reading.groups import STEM, the_one
from negbench.pipelines.reading.image_files import ImageFiles
from negbench.pipelines.reading.json_rows import first_row
from negbench.pipelines.sources import Source

EXPECTS = "JSON list of rows with split, captions and file_path"
SOURCE = "identity"
"""Source of the judgements that say which other pictures show the same person."""
PICTURES = ("file_path", "img_path")


class Row(Entry):
    """A picture of a person."""

    split: str
    captions: list[str] = Field(min_length=1)
    file_path: str | None = None
    img_path: str | None = None
    id: int | str | None = None

    def picture(self, where: str) -> str:
        """Its path; ``DataError`` where the row has none, or two."""
        named = [value for value in (self.file_path, self.img_path) if value is not None]
        if len(named) != 1:
            raise DataError(f"{where}: needs one of {' and '.join(PICTURES)}, has {len(named)}")
        return named[0].strip().removeprefix("./")


def detect(folder: Path) -> str | None:
    """The list."""
    return next((path.name for path in _files(folder)), None)


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded."""
    root = source.root(name)
    path = the_one(_files(root), root, EXPECTS, source.settings.get(STEM))
    rows = CaptionRows(source)
    person: dict[str, str] = {}
    values = items(read_json(path), str(path))
    named = any(isinstance(value, dict) and value.get("id") is not None for value in values)
    for number, value in enumerate(values):
        where = f"{path}: [{number}]"
        with rows.row(where):
            row = entry(Row, value, where)
            image, split = row.picture(where), split_named(row.split, f"{where}.split")
            if row.id is not None:
                before = person.setdefault(image, str(row.id))
                if before != str(row.id):
                    raise DataError(f"{where}.id: {image} is of person {row.id}, but was of {before}")
            elif named:
                raise DataError(f"{where}.id: no person, but other rows have one; write it into each row, or into none")
            for text in row.captions:
                rows.caption(where, image, text, split)
    manifest = rows.manifest(name, root, ImageFiles(root).places, [path])
    return _judged(manifest, person) if person else manifest


def _judged(manifest: Manifest, person: dict[str, str]) -> Manifest:
    """With the pairs of a caption and another picture of its person."""
    captions: dict[str, list[str]] = {image: [] for image in manifest.images["image_id"]}
    for caption, image in manifest.captions[["caption_id", "image_id"]].itertuples(index=False):
        captions[image].append(caption)
    persons: dict[tuple[str, str], list[str]] = {}
    for image, split in manifest.images[["image_id", "split"]].itertuples(index=False):
        if image in person:
            persons.setdefault((split, person[image]), []).append(image)
    pairs = [
        (image, caption, 1.0, SOURCE)
        for images in persons.values()
        for image in images
        for other in images
        if other != image
        for caption in captions[other]
    ]
    manifest.info["notes"] = [
        f"{len(persons):,} persons in {len(manifest.images):,} pictures; a caption's label is its picture, and"
        f" {len(pairs):,} pairs with another picture of its person are judged to match ({SOURCE})"
    ]
    return replace(manifest, judgements=table("judgements", pairs))


def _files(root: Path) -> list[Path]:
    """Lists whose first row has the keys."""
    found = annotation_files(root, "*.json")
    return [path for path in found if _has_keys(first_row(path))]


def _has_keys(row: object) -> bool:
    return isinstance(row, dict) and {"split", "captions"} <= row.keys() and any(key in row for key in PICTURES)
