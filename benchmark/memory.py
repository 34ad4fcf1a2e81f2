"""The memory: momentum copies of the heads and a first-in-first-out queue of their pairs.

Any method runs with or without it. The queue starts empty and is filled during the warm-up; what is not filled
yet is no candidate.
"""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmark.models.heads import TwoHeads
from methods.base import Memory


class MomentumMemory:
    """Momentum heads plus the last ``size`` pairs they made.

    The batch's own momentum pairs live in the first rows of the same buffers as the queue, so that the
    candidates of a step are a view and nothing is copied.
    """

    def __init__(self, model: TwoHeads, size: int, batch: int, dim: int, momentum: float) -> None:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(momentum))  # type: ignore[no-untyped-call]
        self.model: nn.Module = average.eval()  # no dropout: what is queued is compared again and again
        self.size, self.batch = size, batch
        device = next(model.parameters()).device
        self.image = torch.zeros(batch + size, dim, device=device)
        self.text = torch.zeros(batch + size, dim, device=device)
        self.ids = torch.zeros(batch + size, dtype=torch.int64, device=device)
        self.captions = torch.zeros(batch + size, dtype=torch.int64, device=device)
        self.filled = 0
        self._next = 0

    @torch.no_grad()
    def look(self, model: TwoHeads, image: Tensor, text: Tensor, ids: Tensor, captions: Tensor) -> Memory:
        """Let the momentum heads follow ``model`` and return the candidates of a step.

        ``image [B, D]`` and ``text [B, D]`` are features, ``ids [B]`` image rows, ``captions [B]`` caption rows;
        the result has B + filled rows. It is a view, valid until the next ``look``.
        """
        self.model.update_parameters(model)  # type: ignore[operator]
        own = slice(0, self.batch)
        self.image[own], self.text[own] = self.model(image, text)
        self.ids[own], self.captions[own] = ids, captions
        rows = slice(0, self.batch + self.filled)
        return Memory(self.image[rows], self.text[rows], self.ids[rows])

    @torch.no_grad()
    def keep(self) -> None:
        """Queue the pairs of the last ``look`` over the oldest ones; call it after backward."""
        places = torch.arange(self._next, self._next + self.batch, device=self.ids.device) % self.size + self.batch
        for buffer in (self.image, self.text, self.ids, self.captions):
            buffer[places] = buffer[: self.batch].clone()
        self._next = (self._next + self.batch) % self.size
        self.filled = min(self.filled + self.batch, self.size)
