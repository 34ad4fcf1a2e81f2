"""From the steps of a sequence to one vector."""

import math

import torch
from torch import Tensor, nn

FREQUENCIES = 10_000.0


def real_steps(steps: Tensor) -> Tensor:
    """``[B, L]``: which steps of ``[B, L, D]`` are no padding."""
    return (steps != 0).any(dim=2)


def weighted(steps: Tensor, scores: Tensor, real: Tensor) -> Tensor:
    """``[B, L, D]`` to ``[B, D]`` by the softmax of ``scores [B, L]`` over ``real`` steps; over all, where none is."""
    weights = scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(dim=1)
    return (weights[:, None] @ steps)[:, 0]


def mean(steps: Tensor, real: Tensor) -> Tensor:
    """``[B, L, D]`` to ``[B, D]``: the mean of the ``real [B, L]`` steps; zeros where there are none."""
    count = real.sum(dim=1, keepdim=True).clamp_min(1)
    return (steps * real[..., None]).sum(dim=1) / count


class GPO(nn.Module):
    """The generalised pooling operator: learnt weights by rank over the values of each dimension, sorted.

    The weights come from the ranks alone, through sines, a small two-way GRU and a softmax over as many ranks as there
    are real steps, so any length has its own. J. Chen et al. (2021), Learning the Best Pooling Strategy for Visual
    Semantic Embedding, CVPR, section 3.2.
    """

    def __init__(self, sines: int = 32, width: int = 32) -> None:
        super().__init__()
        self.sines = sines
        self.gru = nn.GRU(sines, width, batch_first=True)
        self.back = nn.GRU(sines, width, batch_first=True)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, steps: Tensor, real: Tensor) -> Tensor:
        """``steps [B, L, D]`` and ``real [B, L]`` to ``[B, D]``."""
        weights = self.weights(real)
        lowest = torch.finfo(steps.dtype).min
        ordered = steps.masked_fill(~real[..., None], lowest).sort(dim=1, descending=True).values
        used = torch.arange(steps.shape[1], device=steps.device) < real.sum(dim=1, keepdim=True)
        return (ordered.masked_fill(~used[..., None], 0) * weights[..., None].to(steps.dtype)).sum(dim=1)

    def weights(self, real: Tensor) -> Tensor:
        """``[B, L]``, those of the ranks: they sum to one over the first ``real.sum(1)`` places."""
        length = real.shape[1]
        count = real.sum(dim=1, keepdim=True)
        places = torch.arange(length, device=real.device)
        inputs = sines(length, self.sines, real.device).expand(len(real), -1, -1)
        forth, back = self.gru(inputs)[0], turned(self.back(turned(inputs, count))[0], count)
        scores: Tensor = self.score((forth + back) / 2)[..., 0]
        return scores.float().masked_fill(places >= count.clamp_min(1), -math.inf).softmax(dim=1)


def turned(steps: Tensor, count: Tensor) -> Tensor:
    """The first ``count [B, 1]`` steps of ``[B, L, D]`` in the opposite order, the rest as it is.

    So a recurrent network that runs backwards over padded sequences begins at each one's own end, and no length is read
    back from the device.
    """
    places = torch.arange(steps.shape[1], device=steps.device)[None, :]
    order = torch.where(places < count, count - 1 - places, places)
    return steps.gather(1, order[..., None].expand_as(steps))


def sines(length: int, dim: int, device: torch.device) -> Tensor:
    """Positions ``[L, dim]`` as sines and cosines. A. Vaswani et al. (2017), section 3.5."""
    places = torch.arange(length, device=device, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, dim, 2, device=device) * (-math.log(FREQUENCIES) / dim))
    found = torch.empty(length, dim, device=device)
    found[:, 0::2], found[:, 1::2] = torch.sin(places * rates), torch.cos(places * rates)
    return found
