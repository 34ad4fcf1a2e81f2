"""Draws by weight, and the largest of a row, at the price of reading it once."""

import math

import torch
from torch import Tensor, nn

from .inputs import can_be_looked_at


def draw(weights: Tensor, generator: torch.Generator | None) -> Tensor:
    """One index per row of ``weights [B, N]``, with probability proportional to the weight: ``[B]``.

    First a block of columns by its sum, then a column of that block: some ``B (N / 256 + 256)`` random numbers
    instead of ``B N``, which cost more than the similarities themselves. Either draw is an exponential race (the
    largest ``w / e`` with ``e ~ Exp(1)``), which needs no normalisation. A row of zeros gives any index.
    """
    parts = blocks(weights, 0)
    block = race(parts.sum(dim=2), generator)
    within = race(parts[torch.arange(len(parts), device=weights.device), block], generator)
    return (block * parts.shape[2] + within).clamp_max(weights.shape[1] - 1)


def race(weights: Tensor, generator: torch.Generator | None) -> Tensor:
    """An exponential race along the last dimension: the index drawn by weight; any where all weights are zero."""
    clock = torch.empty(weights.shape, dtype=weights.dtype, device=weights.device).exponential_(generator=generator)
    return (weights / clock.clamp_min_(torch.finfo(weights.dtype).tiny)).argmax(dim=-1)


def largest(values: Tensor) -> Tensor:
    """Index ``[B]`` of the largest of each row of ``values [B, N]``.

    By blocks, as a plain argmax costs a CPU ten times as much as the maximum.
    """
    if not can_be_looked_at(values):
        return values.argmax(dim=1)
    parts = blocks(values, -torch.inf)
    block = parts.amax(dim=2).argmax(dim=1)
    within = parts[torch.arange(len(parts), device=values.device), block].argmax(dim=1)
    return (block * parts.shape[2] + within).clamp_max(values.shape[1] - 1)


def blocks(values: Tensor, fill: float) -> Tensor:
    """``values [B, N]`` as ``[B, blocks, width]``, a view where N is a multiple of 64, else filled up."""
    rows, columns = values.shape
    width = math.gcd(columns, 256)
    if width < 64:
        width = min(256, columns)
        values = nn.functional.pad(values, (0, -columns % width), value=fill)
    return values.view(rows, -1, width)
