"""How many operations a step hands to its device: on a GPU each is a launch, and costs Python's time.

Counted on torch's device ``meta``, which computes nothing, so that any size is counted at once, and whatever would
read a value back fails. The way is that of a GPU: what a CPU gains by looking at values is left out.
"""

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from negbench import methods
from negbench.benchmark.errors import BenchError
from negbench.benchmark.models import registry
from negbench.benchmark.models.base import Modality, Source
from negbench.benchmark.models.two_towers import Plan, make
from negbench.benchmark.training.inputs import Batch, SplitTensors
from negbench.benchmark.training.task import Task
from negbench.benchmark.training.trainer import Trainer
from negbench.methods.base import Extras, Guide, Memory, Words
from negbench.pipelines.splits import SplitIndex

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig
    from negbench.pipelines.store import Split

DEVICE = "meta"
CAPTIONS = 5
"""Of an image."""
FEATURES = 512
"""Width of the frozen features of a whole step."""
FREE = {"detach", "empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view", "lift_fresh"}
"""Operations that only make room, or another view."""


class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what is dispatched inside; views of what is there cost nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation."""
        aliases = [each.alias_info for each in func._schema.returns]
        view = any(alias is not None and not alias.is_write for alias in aliases)
        if not view and func.overloadpacket.__name__ not in FREE:
            self.names[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def measure(name: str, batch: int, memory: int, dim: int) -> dict[str, Any]:
    """Operations of a method's loss step: ``forward``, ``all`` with the backward pass, and how many of a ``kind``."""
    numbers = partial(torch.empty, device=DEVICE)
    rows, whole = numbers(batch + memory, dim), numbers(batch + memory, dtype=torch.int64)
    image, text = (numbers(batch, dim, requires_grad=True) for _ in range(2))
    words = Words([["a red dog"], ["a big dog"]] * (batch // 2), lambda texts: text[: len(texts)].detach())
    more = Extras(whole[:batch], Guide(rows, rows, numbers(batch, CAPTIONS, dim)), words)
    method = methods.get(name)().to(DEVICE)
    with Count() as count:
        views = method.look(image, text, whole[:batch], Memory(rows, rows, whole) if memory else None, None, more)
        loss = method.total_loss(*views)
        forward = count.names.total()
        torch.autograd.backward(loss)
    sizes = {"method": name, "batch": batch, "memory": memory, "dim": dim}
    return {**sizes, "forward": forward, "all": count.names.total(), "kind": dict(count.names.most_common())}


def measure_step(config: "RunConfig") -> dict[str, Any] | None:
    """The same of a whole training step of a recipe, with a full memory; None for methods with a guide, which is
    prepared from values. ``BenchError`` where its towers read something else than vectors.
    """
    if "guide" in methods.get(config.method).needs:
        return None
    sides: tuple[tuple[str, Modality], ...] = ((config.image_tower, "image"), (config.text_tower, "text"))
    if any(registry.for_side(name, side).reads[side] != "vectors" for name, side in sides):
        raise BenchError(f"recipe '{config.preset}': whole steps are counted of towers on vectors; use --recipe heads")
    cell = config.model_copy(update={"device": DEVICE, "compile": True, "memory_start": "random"})

    def plan(name: str, side: Modality, settings: dict[str, Any]) -> Plan:
        return Plan(name, Source(side, (FEATURES,), cell.dim, cell.hidden, cell.dropout), settings)

    image = plan(cell.image_tower, "image", cell.image_settings)
    towers = make(image, plan(cell.text_tower, "text", cell.text_settings), seed=0)
    order = np.arange(cell.batch)
    names = [str(number) for number in order]
    split = SplitIndex(caption_image=order, image_rows=order, caption_rows=order, image_ids=names, caption_ids=names)
    items = torch.empty(cell.batch, FEATURES, device=DEVICE)
    trainer = Trainer(cell, Task(cell, towers, SplitTensors(cast("Split", split), DEVICE, items, items)))
    trainer.graph = None
    rows = torch.empty(cell.batch, dtype=torch.int64, device=DEVICE)
    batch = Batch(rows, rows, items, items)
    trainer.step(batch)  # the optimiser makes room
    with Count() as count:
        trainer.step(batch)
    sizes = {"method": cell.method, "batch": cell.batch, "memory": cell.memory, "dim": cell.dim}
    return {**sizes, "all": count.names.total(), "kind": dict(count.names.most_common())}
