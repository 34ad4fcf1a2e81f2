"""COCO's test split with the positives that ECCV Caption and CxC verified, from the package ``eccv_caption``.

ECCV Caption: S. Chun et al. (2022), ECCV, for 1,261 images and 1,332 captions as queries. CxC: Z. Parekh et al.
(2021), EACL, for all 5,000 images and 24,972 captions. The captions are known by their COCO annotation ids.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from negbench.benchmark.evaluation.extended import Positives, Relation

if TYPE_CHECKING:
    from negbench.pipelines.splits import SplitIndex

NAMES = ("eccv", "cxc")


def folder() -> Path | None:
    """The package's data; the package itself is not imported. None where it is not installed."""
    spec = find_spec("eccv_caption")
    return Path(spec.submodule_search_locations[0]) / "data" if spec and spec.submodule_search_locations else None


def positives(split: "SplitIndex") -> dict[str, Positives]:
    """``eccv`` and ``cxc``; nothing where the package is missing or the captions are not the 25,000 of COCO's test."""
    data = folder()
    if data is None or not all(caption_id.isdecimal() for caption_id in split.caption_ids):
        return {}
    image_of = {int(caption): images[0] for caption, images in read(data, "original_caption_to_image").items()}
    captions = {int(caption_id): row for row, caption_id in enumerate(split.caption_ids)}
    if captions.keys() != image_of.keys():
        return {}
    images = {image_of[caption]: int(split.caption_image[row]) for caption, row in captions.items()}
    return {
        name: Positives(
            i2t=relation(read(data, f"{name}_image_to_caption"), images, captions),
            t2i=relation(read(data, f"{name}_caption_to_image"), captions, images),
        )
        for name in NAMES
    }


def relation(lists: dict[str, list[int]], queries: dict[int, int], items: dict[int, int]) -> Relation:
    """From COCO's ids to rows. Two captions verified by ECCV Caption are not among the 25,000, but count in its R."""
    beyond = sorted({item for found in lists.values() for item in found} - items.keys())
    rows = items | {item: -1 - number for number, item in enumerate(beyond)}
    return Relation.of_lists({queries[int(query)]: [rows[item] for item in found] for query, found in lists.items()})


def read(data: Path, name: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = json.loads((data / f"{name}.json").read_text(encoding="utf-8"))
    return found
