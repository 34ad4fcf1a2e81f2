"""The memory: momentum copies of the towers and a first-in-first-out queue of their pairs.

Any method runs with or without it. The queue starts empty and is filled during the warm-up; what is not filled
yet is no candidate. It may start full of random unit vectors instead.
"""

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from negbench.benchmark.models.two_towers import TwoTowers
from negbench.methods.base import Memory

RANDOM_ID = -100
"""Image row of a random vector: that of no image."""
RANDOM_CAPTION = -1
"""Caption row of a random vector."""


class MomentumMemory(nn.Module):
    """Momentum towers plus the last ``size`` pairs they made.

    The batch's own momentum pairs live in the first rows of the same buffers as the queue, so that the
    candidates of a step are a view and nothing is copied (half precision is converted once a step, by the method).
    A memory restored from ``state_dict`` goes on bit for bit. Nothing in it is trained: its weights only follow.

    Args:
        model: the towers to follow.
        size: pairs in the queue; fewer than a batch keeps the last ones of it.
        batch: pairs of every step.
        dim: of the joint space.
        momentum: share of the old weights kept at each step.
        start: ``empty``, or ``random``: full of random unit vectors, as in the published code of FNE.
        precision: in which the pairs are kept, the batch's own included.
        seed: of the random vectors, the same on every device.

    Raises:
        ValueError: a queue or a batch without pairs.
    """

    image: Tensor
    """``[batch + size, dim]``"""
    text: Tensor
    """``[batch + size, dim]``"""
    ids: Tensor
    """``[batch + size]``: image rows."""
    captions: Tensor
    """``[batch + size]``: caption rows."""

    def __init__(
        self,
        model: TwoTowers,
        size: int,
        batch: int,
        dim: int,
        momentum: float,
        start: Literal["empty", "random"] = "empty",
        precision: Literal["float32", "bfloat16", "float16"] = "float32",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if size < 1 or batch < 1:
            raise ValueError(f"a memory of {size} pairs for batches of {batch}: both must be at least 1")
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.eval()
        self.size, self.batch, self.momentum = size, batch, momentum
        device = next(model.parameters()).device
        kind: torch.dtype = getattr(torch, precision)
        for name in ("image", "text"):
            self.register_buffer(name, torch.zeros(batch + size, dim, dtype=kind, device=device))
        for name, row in (("ids", RANDOM_ID), ("captions", RANDOM_CAPTION)):
            self.register_buffer(name, torch.full((batch + size,), row, device=device))
        self.filled = 0
        self._next = 0
        if start == "random":
            self._fill(torch.Generator().manual_seed(seed))

    def _fill(self, generator: torch.Generator) -> None:
        """Fill the queue with random unit vectors; the first one is the oldest."""
        for features in (self.image, self.text):
            drawn = torch.randn(self.size, features.shape[1], generator=generator)
            features[self.batch :] = normalize(drawn, dim=1)
        self.filled = self.size

    def train(self, mode: bool = True) -> "MomentumMemory":
        """Stays in evaluation: no dropout, as what is queued is compared again and again."""
        return super().train(False)

    @torch.no_grad()
    def follow(self, model: TwoTowers) -> TwoTowers:
        """Let the momentum towers follow ``model``, and return them."""
        weights = [weight.detach() for weight in model.parameters()]
        torch._foreach_lerp_(list(self.model.parameters()), weights, 1 - self.momentum)
        for buffer, followed in zip(self.model.buffers(), model.buffers(), strict=True):  # statistics of normalisation
            buffer.copy_(followed)
        return self.model

    @torch.no_grad()
    def look(self, image: Tensor, text: Tensor, ids: Tensor, captions: Tensor) -> Memory:
        """The candidates of a step.

        ``image [B, dim]`` and ``text [B, dim]`` are what the momentum towers make of the batch, ``ids [B]`` image rows,
        ``captions [B]`` caption rows; the result has B + filled rows. It is a view, valid until the next ``look``.
        ``ValueError`` where B is not the ``batch`` of this memory.
        """
        if len(ids) != self.batch:
            raise ValueError(f"the memory is made for batches of {self.batch}, got {len(ids)}")
        own = slice(0, self.batch)
        self.image[own], self.text[own] = image, text
        self.ids[own], self.captions[own] = ids, captions
        rows = slice(0, self.batch + self.filled)
        return Memory(self.image[rows], self.text[rows], self.ids[rows])

    @property
    def rows(self) -> tuple[Tensor, Tensor]:
        """Image and caption rows ``[B + filled]`` of the candidates of the last ``look``."""
        seen = slice(0, self.batch + self.filled)
        return self.ids[seen], self.captions[seen]

    @torch.no_grad()
    def keep(self) -> None:
        """Queue the pairs of the last ``look`` over the oldest ones; call it after backward."""
        count = min(self.batch, self.size)
        places = torch.arange(self._next, self._next + count, device=self.ids.device) % self.size + self.batch
        for buffer in (self.image, self.text, self.ids, self.captions):
            buffer[places] = buffer[self.batch - count : self.batch].clone()
        self._next = (self._next + count) % self.size
        self.filled = min(self.filled + count, self.size)

    def get_extra_state(self) -> Tensor:
        """What ``state_dict`` holds beside weights and buffers: how many places are filled, and the next one."""
        return torch.tensor([self.filled, self._next])

    def set_extra_state(self, state: Tensor) -> None:
        """For ``load_state_dict``."""
        self.filled, self._next = state.tolist()
