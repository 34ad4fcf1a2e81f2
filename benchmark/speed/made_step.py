"""A training step of a recipe on features that are made up, for who counts or times it."""

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from negbench import methods
from negbench.benchmark.errors import BenchError
from negbench.benchmark.models import registry
from negbench.benchmark.models.base import Modality, Source
from negbench.benchmark.models.two_towers import Plan, make
from negbench.benchmark.training.inputs import Batch, SplitTensors
from negbench.benchmark.training.task import Task
from negbench.benchmark.training.trainer import Trainer
from negbench.pipelines.splits import SplitIndex

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig
    from negbench.pipelines.store import Split

FEATURES = 512
"""Width of the frozen features of either side."""


def can_be_made(method: str) -> bool:
    """Whether a method trains on vectors alone: a guide and captions as text are prepared from data."""
    return not {"guide", "words"} & {*methods.get(method).needs}


def made_step(config: "RunConfig") -> tuple[Trainer, Batch]:
    """A trainer with a full memory, and its batch; ``BenchError`` where the towers read something else than vectors."""
    cell = config.model_copy(update={"memory_start": "random"})
    sides: tuple[tuple[str, Modality, dict[str, Any]], ...] = (
        (cell.image_tower, "image", cell.image_settings),
        (cell.text_tower, "text", cell.text_settings),
    )
    if any(registry.for_side(name, side).reads[side] != "vectors" for name, side, _ in sides):
        raise BenchError(f"recipe '{cell.preset}': steps are made up of towers on vectors; use --recipe heads")
    image, text = (
        Plan(name, Source(side, (FEATURES,), cell.dim, cell.hidden, cell.dropout), settings)
        for name, side, settings in sides
    )
    order = np.arange(cell.batch)
    names = [str(number) for number in order]
    split = SplitIndex(
        caption_image=order,
        image_rows=order,
        caption_rows=order,
        image_ids=names,
        caption_ids=names,
        room=cell.batch,
    )
    items = torch.randn(cell.batch, FEATURES, device=cell.device)
    data = SplitTensors(cast("Split", split), cell.device, items, items.clone())
    trainer = Trainer(cell, Task(cell, make(image, text, seed=0), data))
    rows = torch.arange(cell.batch, device=cell.device)
    return trainer, Batch(rows, rows, items, items.clone())
