"""One negative per anchor from candidates that lie on several processes: each picks among its own, and they race.

The time in which an exponential race (``drawing``) is won is that of one runner with the weight of all, and says
nothing of who won. So a process may draw its pick in any exact way, by blocks for instance, and sends it with a key
that it draws for the sum of its weights. The process with the largest key wins with its share of all weights, so
each candidate with its own. For the hardest negative the key is the similarity itself.

Every process has the same anchors, and candidates of its own from number ``first`` on. FNE's draw::

    weights = method.weigh(similarity, own[:, None]).weights
    log_total, drawn = weights.sum(dim=1).log(), draw(weights, generator) + first
    drawn = winner(Pick(race_key(log_total, generator), drawn))
    hardest = winner(Pick(similarity.amax(dim=1), largest(similarity) + first))
    index = torch.where(drawn.key > -torch.inf, drawn.index, hardest.index)
"""

from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Pick:
    """One candidate per anchor, and the key with which it races."""

    key: Tensor
    """``[B]`` float64: the largest wins. ``-inf`` where there is nothing to pick."""
    index: Tensor
    """``[B]``: the candidate's number among those of all processes, below 2^53."""


def race_key(log_total: Tensor, generator: torch.Generator) -> Tensor:
    """The key ``[B]`` of a process whose candidates' weights sum to ``exp(log_total) [B]``.

    Weights must be on one scale: what a method divides by the largest of its own candidates, as a softmax does, must
    be multiplied back. ``generator`` must be in another state on each process: of equal clocks the largest sum would
    always win.
    """
    clock = torch.empty(log_total.shape, dtype=torch.float64, device=log_total.device)
    clock.exponential_(generator=generator).clamp_min_(torch.finfo(clock.dtype).tiny)
    return log_total.double() - clock.log_()


@torch.no_grad()
def winner(local: Pick, group: "distributed.ProcessGroup | None" = None) -> Pick:
    """The pick with the largest key of all processes of ``group``, the same on each; any where all are ``-inf``.

    Sends 16 bytes per anchor. ``ValueError`` before ``torch.distributed.init_process_group``.
    """
    sent = torch.stack([local.key.double(), local.index.double()])
    received = [torch.empty_like(sent) for _ in range(distributed.get_world_size(group))]
    distributed.all_gather(received, sent, group)
    keys, indices = torch.stack(received, dim=1)  # [P, B] each
    first = keys.argmax(dim=0, keepdim=True)
    return Pick(keys.gather(0, first)[0], indices.gather(0, first)[0].long())
