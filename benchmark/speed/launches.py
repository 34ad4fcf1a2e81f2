"""How many kernels a compiled step launches, after the compiler made one of many operations.

Counted by torch's profiler on the CPU's compiler, which fuses much as a GPU's does, but is not it; whatever the method
draws and chooses is in the graph, as on a GPU.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from negbench import methods
from negbench.benchmark.speed import operations
from negbench.benchmark.speed.made_step import can_be_made, made_step
from negbench.benchmark.speed.method_cost import extras, pairs

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig

BATCH, MEMORY, DIM = 128, 1024, 64
WARM = 12
"""Steps before one is counted: enough for the memory of a training step to be full, and compiled."""
FREE = operations.FREE | {"as_strided", "view", "slice", "select", "t", "to", "transpose"}
"""What makes room, or another view."""


def measure(name: str) -> int:
    """Kernels of a method's compiled loss step, forward and backward; needs a compiler of C++."""
    stream = torch.Generator().manual_seed(0)
    image, text, ids, pool = pairs(BATCH, MEMORY, DIM, stream)
    more = extras(image, text, pool, stream)
    loss: Any = torch.compile(methods.get(name)().loss, fullgraph=True, dynamic=False)
    return counted(lambda: torch.autograd.backward(loss(image, text, ids, pool, None, more)))


def measure_step(config: "RunConfig") -> int | None:
    """The same of a whole training step of a recipe; None for methods that ask for data."""
    if not can_be_made(config.method):
        return None
    trainer, batch = made_step(config.model_copy(update={"compile": True, "memory": min(config.memory, MEMORY)}))
    return counted(lambda: trainer.step(batch))


def counted(step: Callable[[], object]) -> int:
    """What a step launches once it is compiled."""
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's compiler warns of torch
        with torch._inductor.config.patch({"cpp.enable_kernel_profile": True}):
            for _ in range(WARM):
                step()
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # or the profiler writes to the terminal
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        step()
    return sum(1 for event in seen.events() or () if event.cpu_parent is None for _ in kernels(event))


def kernels(event: FunctionEvent) -> Iterator[str]:
    """The outermost operations and compiled kernels in an event."""
    name = event.name.removeprefix("aten::")
    if event.name.startswith("graph_") or (name != event.name and name not in FREE):
        yield name
    else:
        for child in event.cpu_children:
            yield from kernels(child)
