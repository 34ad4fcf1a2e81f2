"""How many operations a step hands to its device: on a GPU each is a launch, and costs Python's time.

Counted on torch's device ``meta``, which computes nothing, so that any size is counted at once, and whatever would
read a value back fails. The way is that of a GPU: what a CPU gains by looking at values is left out.
"""

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from negbench import methods
from negbench.benchmark.speed.made_step import can_be_made, made_step
from negbench.methods.base import Extras, Guide, Memory, Words

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig

DEVICE = "meta"
CAPTIONS = 5
"""Of an image."""
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
    method.make_room(batch + memory)
    with Count() as count:
        views = method.look(image, text, whole[:batch], Memory(rows, rows, whole) if memory else None, None, more)
        loss = method.total_loss(*views)
        forward = count.names.total()
        torch.autograd.backward(loss)
    sizes = {"method": name, "batch": batch, "memory": memory, "dim": dim}
    return {**sizes, "forward": forward, "all": count.names.total(), "kind": dict(count.names.most_common())}


def measure_step(config: "RunConfig") -> dict[str, Any] | None:
    """The same of a whole training step of a recipe, with a full memory; None for methods that ask for data.

    ``BenchError`` where its towers read something else than vectors.
    """
    if not can_be_made(config.method):
        return None
    trainer, batch = made_step(config.model_copy(update={"device": DEVICE, "compile": True}))
    trainer.graph = None
    trainer.step(batch)  # the optimiser makes room
    with Count() as count:
        trainer.step(batch)
    sizes = {"method": config.method, "batch": config.batch, "memory": config.memory, "dim": config.dim}
    return {**sizes, "all": count.names.total(), "kind": dict(count.names.most_common())}
