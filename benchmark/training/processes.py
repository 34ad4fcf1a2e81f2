"""Several processes that train one cell together: each encodes its part of a batch, and all see the whole of it.

Every process computes the loss of the whole batch, with the same draws, so that memory, statistics and what a method
learns are equal on all of them by construction. The gradient of the towers is the sum over the parts. So N processes
do what one does, up to the order of sums; a batch is a batch of the recipe, however many share it.
"""

import os
from collections.abc import Iterable
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from negbench.benchmark.errors import BenchError

PATIENCE = timedelta(minutes=30)
"""For the others, before a process gives up."""


def asked() -> int:
    """How many processes torchrun started; 1 where it did not."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def check_shared(batch: int, count: int) -> None:
    """``BenchError`` where so many processes cannot share a batch."""
    if batch % count:
        raise BenchError(f"batch: {batch} anchors cannot be shared by {count} processes; use a multiple of {count}")


def join(device: str, batch: int) -> str:
    """Meet the other processes; the device of this one. ``BenchError`` for a batch that they cannot share."""
    check_shared(batch, asked())
    if asked() == 1 or distributed.is_initialized():
        return device
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
    return device


def leave() -> None:
    """Part from the others; a process that ends without may end badly, as torch waits for them in threads."""
    if count() > 1:
        distributed.destroy_process_group()


def count() -> int:
    """How many train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process; the first one, 0, writes."""
    return distributed.get_rank() if count() > 1 else 0


def own(rows: Tensor) -> Tensor:
    """This process's part of a batch's rows."""
    return rows.chunk(count())[rank()]


def whole(part: Tensor) -> Tensor:
    """The rows of all processes in their order, ``[B, ...]`` of ``[B / N, ...]``; gradient flows into the own alone."""
    if count() == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(count())]
    distributed.all_gather(parts, part.detach().contiguous())
    parts[rank()] = part
    return torch.cat(parts)


def add_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Sum each weight's gradient over all processes."""
    if count() == 1:
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    for gradient, part in zip(gradients, torch.split(flat, [each.numel() for each in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def agreed(number: int) -> int:
    """The largest of what all processes say."""
    if count() == 1:
        return number
    said = torch.tensor(number)
    distributed.all_reduce(said, distributed.ReduceOp.MAX)
    return int(said)


def told(what: object) -> object:
    """What the first process says, on all of them."""
    if count() == 1:
        return what
    box = [what]
    distributed.broadcast_object_list(box)
    return box[0]


def each(state: Tensor) -> list[Tensor]:
    """A tensor of the CPU of every process."""
    if count() == 1:
        return [state]
    states = [torch.empty_like(state) for _ in range(count())]
    distributed.all_gather(states, state)
    return states
