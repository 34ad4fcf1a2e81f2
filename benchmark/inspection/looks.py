"""What a trained cell retrieves for one anchor of the test split, and which negatives methods would push it from.

The cell's own method has the state in which its training ended; the others are new. See ``docs/inspect.md``.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from negbench import methods
from negbench.benchmark.audit.asking import shown
from negbench.benchmark.evaluation.ranks import ranks
from negbench.benchmark.exchange.cells import live_cell
from negbench.benchmark.inspection.anchors import find, lowest
from negbench.benchmark.inspection.items import Inspection, Item, Look, Picks, Ready
from negbench.benchmark.inspection.looker import Looker
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.sweeps.live_cell import LiveCell
from negbench.methods.base import Direction, Method

__all__ = ["Inspection", "Item", "Look", "Picks", "inspect", "probability"]

METHODS = ("hardest", "semi-hard", "fne")
DIRECTIONS: tuple[Direction, ...] = ("i2t", "t2i")


def probability(p: float) -> str:
    """Three decimals; what would round to 0 or 1 and is not is said so."""
    return "<0.001" if 0 < p < 0.0005 else ">0.999" if 0.9995 <= p < 1 else f"{p:.3f}"


def inspect(
    folder: Path,
    anchor: str = "worst",
    directions: Sequence[Direction] = DIRECTIONS,
    top: int = 10,
    names: Sequence[str] = METHODS,
    seed: int = 0,
) -> Inspection:
    """Look at one anchor of a recorded cell.

    Args:
        folder: of the record.
        anchor: id of a test image or caption, which stands for the pair of both; ``random``; ``worst``: in each
            direction the query whose labelled positive ranks lowest, the first by id among equal ones.
        directions: which side of the pair asks.
        top: retrieved items to show.
        names: methods beside the run's own.
        seed: of the random anchor and of what methods draw.

    Raises:
        BenchError: an unknown anchor or method.
        NoDataError, DataError: a record, data or features that are missing or not those of the run.
    """
    for name in names:
        methods.get(name)  # an unknown one ends it before anything is loaded
    run = live_cell(folder)
    positions = ranks(run.gallery.images, run.gallery.captions, run.gallery.caption_image)
    queries = sorted(run.first)
    of_images = dict(zip(queries, positions.i2t.tolist(), strict=True))
    of_captions = dict(enumerate(positions.t2i.tolist()))
    fixed = None if anchor == "worst" else find(run, anchor, seed)
    chosen, unable = asked(run, [*dict.fromkeys(name.replace("_", "-") for name in names)], seed)
    extras_of = run.extras_of([ready.method for ready in chosen])
    looks = []
    for direction in directions:
        if fixed is not None:
            caption = fixed
        elif direction == "i2t":
            caption = run.first[lowest(of_images, run.split.image_ids)]
        else:
            caption = lowest(of_captions, run.split.caption_ids)
        image = int(run.split.caption_image[caption])
        rank = of_images[image] if direction == "i2t" else of_captions[caption]
        looks.append(Looker(run, extras_of, direction, image, caption, seed).look(chosen, unable, rank, top))
    known = "truth" if run.truth is not None else "judgements" if run.known_pairs is not None else ""
    record = run.record
    protocol = f"{record.protocol.name} ({record.protocol.images:,} images, {record.protocol.captions:,} captions)"
    return Inspection(str(folder), record.method_id, record.dataset, record.seed, protocol, known, looks)


def asked(run: LiveCell, names: Sequence[str], seed: int) -> tuple[list[Ready], list[str]]:
    """The run's own method and others; and those that cannot be asked. What was trained elsewhere has none of its own,
    and no frozen features."""
    config = run.record.config
    if config is not None:
        others = [new_method(run, name, seed) for name in names if name != config.method]
        return [own_method(run, config, seed), *others], []
    unable = [name for name in names if "guide" in methods.get(name).needs]
    return [new_method(run, name, seed) for name in names if name not in unable], unable


def own_method(run: LiveCell, config: RunConfig, seed: int) -> Ready:
    """The run's own method, as its training left it; warmed where the record, an older one, does not have that."""
    name, method = run.record.method_id, run.method()
    if method is not None:
        return Ready(name, method, "as the training left it")
    method = methods.get(config.method)(**config.settings)
    return Ready(name, method, warm(run, method, seed) + " (the record, an older one, keeps no state)")


def new_method(run: LiveCell, name: str, seed: int) -> Ready:
    """Another method with its default settings."""
    method = methods.get(name)()
    return Ready(name, method, warm(run, method, seed))


def warm(run: LiveCell, method: Method, seed: int) -> str:
    """Let a new method that keeps anything see one pass of the split in batches; says what was done."""
    if not any(True for _ in method.buffers()):
        return "new, keeps no statistics"
    captions, extras_of = len(run.gallery.captions), run.extras_of([method])
    batch = min(run.batch, captions)
    order = torch.randperm(captions, generator=torch.Generator().manual_seed(seed_for(seed, "inspect")))
    stream = torch.Generator().manual_seed(seed_for(seed, "inspect", "warm"))
    method.start_epoch()
    for pool in torch.split(order, batch):
        seen = shown(method, run.gallery, extras_of, pool, anchors=len(pool), from_memory=False)
        for view in method.look(seen.image, seen.text, seen.ids, None, stream, seen.extras):
            method.view_loss(view)
    return f"new, after one pass over the test captions in batches of {batch}"
