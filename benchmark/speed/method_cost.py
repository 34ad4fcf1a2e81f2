"""What a method's step costs, as a ratio to the two bare similarity products of the same run."""

import ctypes
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from negbench import methods
from negbench.methods.base import Extras, Guide, Memory, Words

REPEATS = 7
ABOVE = 0.001
"""Share of the memory that is hard, unless told otherwise."""


def measure(
    name: str, batch: int, memory: int, dim: int, threads: int, device: str = "cpu", above: float = ABOVE
) -> dict[str, Any]:
    """Time a method's loss step: both directions, choice, loss and backward, without the encoders.

    Keys: ``step_ms`` and ``product_ms`` (the two products ``[batch, dim] x [dim, batch + memory]``), both the
    median of interleaved repeats, their ``ratio``, and ``extra``: the most memory a step takes beyond its inputs, in
    similarity matrices ``[batch, batch + memory]`` (None where the system does not tell).
    """
    torch.set_num_threads(threads)
    generator = torch.Generator(device).manual_seed(0)
    image, text, ids, pool = pairs(batch, memory, dim, generator, above)
    method = methods.get(name)().to(device)
    method.make_room(batch + memory)
    more = extras(image, text, pool, generator)

    def step() -> None:
        image.grad = text.grad = None
        fresh = replace(more, guide=replace(more.guide)) if more.guide else more  # nothing kept from the last step
        torch.autograd.backward(method.loss(image, text, ids, pool, generator, fresh))

    for _ in range(3):  # statistics fill, memory is touched
        step()
    peak, matrix = extra_bytes(step, device), 4 * batch * (batch + memory)
    times = interleaved({"step": step, "product": lambda: products(image, text, pool)}, device)
    return {
        "method": name,
        "batch": batch,
        "memory": memory,
        "dim": dim,
        "threads": threads,
        "device": device,
        "above": above,
        "step_ms": times["step"],
        "product_ms": times["product"],
        "ratio": times["step"] / times["product"],
        "extra": None if peak is None else peak / matrix,
    }


def pairs(
    batch: int, memory: int, dim: int, generator: torch.Generator, above: float = ABOVE
) -> tuple[Tensor, Tensor, Tensor, Memory | None]:
    """Random pairs that a trained model could have made: partners at similarity 2/3, the others near 1/3.

    The share ``above`` of the memory lies near 0.54 for all anchors: hard enough for methods that leave out what is
    easy, as FNE does below 2/3 - 0.2.
    """

    def unit(rows: int) -> Tensor:
        return normalize(torch.randn(rows, dim, generator=generator, device=generator.device), dim=1)

    common, items = unit(1), unit(batch + memory)
    hard = torch.rand(batch + memory, 1, generator=generator, device=generator.device) < above
    hard[:batch] = False

    def view() -> Tensor:
        return normalize(torch.where(hard, 4, 1) * common + items + unit(batch + memory), dim=1)

    image, text = view(), view()
    ids = torch.arange(batch + memory, device=generator.device) // 5
    pool = Memory(image, text, ids) if memory else None
    return image[:batch].clone().requires_grad_(), text[:batch].clone().requires_grad_(), ids[:batch], pool


def extra_bytes(action: Callable[[], None], device: str) -> int | None:
    """The most memory an action takes beyond what there was; None where the system does not tell."""
    if device != "cpu":
        torch.accelerator.reset_peak_memory_stats()
        before = torch.accelerator.memory_allocated()
        action()
        return torch.accelerator.max_memory_allocated() - before
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what earlier steps freed must not count as there
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = resident("VmRSS")
        action()
        return resident("VmHWM") - before
    except (OSError, AttributeError):  # no Linux, no glibc, or not allowed
        return None


def resident(key: str) -> int:
    """A line of ``/proc/self/status``, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * 1024


@torch.no_grad()
def extras(image: Tensor, text: Tensor, memory: Memory | None, generator: torch.Generator) -> Extras:
    """A guide of the same size as the joint space, five captions per image; sentences cost no encoder."""
    pool = memory if memory is not None else Memory(image, text, image)
    batch, dim = image.shape
    near = text[:, None] + torch.randn(batch, 4, dim, generator=generator, device=image.device) / dim**0.5
    support = torch.cat([text[:, None], normalize(near, dim=2)], dim=1)
    captions = [["a red dog"], ["a big dog"]] * (batch // 2 + 1)
    words = Words(captions[:batch], lambda sentences: text[: len(sentences)].detach())
    return Extras(torch.arange(batch, device=image.device), Guide(pool.image, pool.text, support), words)


@torch.no_grad()
def products(image: Tensor, text: Tensor, memory: Memory | None) -> None:
    """The lower bound: the two bare similarity products of a step."""
    pool = memory if memory is not None else Memory(image, text, image)
    torch.matmul(image, pool.text.T)
    torch.matmul(text, pool.image.T)


def interleaved(actions: dict[str, Callable[[], object]], device: str) -> dict[str, float]:
    """Median milliseconds of each action, taken in turns, so that a slow moment of the machine hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(REPEATS):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if device != "cpu":
                torch.accelerator.synchronize()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: sorted(values)[len(values) // 2] for name, values in times.items()}
