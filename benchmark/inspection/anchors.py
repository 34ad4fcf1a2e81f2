"""Which pair of the test split is looked at."""

from collections.abc import Mapping, Sequence

import torch

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.sweeps.live_cell import LiveCell
from negbench.pipelines.errors import unknown


def lowest(ranks: Mapping[int, float], ids: Sequence[str]) -> int:
    """The query whose positive ranks lowest, the first by id among equal ones."""
    return min(ranks, key=lambda row: (-ranks[row], ids[row]))


def find(run: LiveCell, anchor: str, seed: int) -> int:
    """The caption of the pair that an id names; an image stands for its first caption. ``BenchError`` if unknown."""
    if anchor == "random":
        stream = torch.Generator().manual_seed(seed_for(seed, "inspect", "anchor"))
        return int(torch.randint(len(run.split.caption_ids), (), generator=stream))
    if anchor in run.split.caption_ids:
        return run.split.caption_ids.index(anchor)
    if anchor in run.split.image_ids:
        image = run.split.image_ids.index(anchor)
        if image not in run.first:
            raise BenchError(f"image '{anchor}' has no caption, so it is no query")
        return run.first[image]
    manifest = run.manifest
    images = manifest.images.set_index("image_id")["split"]
    captions = manifest.captions.set_index("caption_id")["image_id"]
    image_id = captions[anchor] if anchor in captions.index else anchor
    if image_id in images.index:
        raise BenchError(f"'{anchor}' is of the {images[image_id]} split; only test items are inspected")
    nearest = unknown("anchor", anchor, [*run.split.image_ids, *run.split.caption_ids])
    hint = nearest.partition("; ")[2] if "did you mean" in nearest else "random and worst are anchors too"
    raise BenchError(f"unknown anchor '{anchor}', no test image or caption of '{run.record.dataset}'; {hint}")
