"""iSogCLR: SogCLR with a temperature for each anchor, learnt so that hard crowds of negatives get a higher one.

Z.-H. Qiu, Q. Hu, Z. Yuan, D. Zhou, L. Zhang, T. Yang: Not All Semantics are Created Equal: Contrastive Self-supervised
Learning with Automatic Temperature Individualization, ICML 2023. The temperature goes down ``T (log u + rho)``, whose
slope is rho minus the divergence of the anchor's softmax from the uniform one: where its weights lie on fewer
negatives than rho says, T rises. As in the authors' code a visit uses the temperature of the last one. Their rho, 8, is
above the logarithm of any batch of fewer than 2,981 candidates, for which every temperature sinks to the lowest: here
it is lower. They begin at 0.01, between 0.005 and 0.05; here all begin where other softmax losses stay.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Range, View, setting
from .sogclr import SogCLR, SogCLRSettings

STEEPEST = 5.0
"""Slopes are cut to it, as in the authors' code."""


@dataclass(frozen=True)
class ISogCLRSettings(SogCLRSettings):
    temperature: float = setting(
        0.1,
        "temperature at the start, one default for all softmax losses; learnt per anchor",
        low=0.01,
        high=10.0,
        search=Range(0.01, 0.5, log=True),
    )
    lowest: float = setting(0.01, "no temperature falls below this", low=0.001, high=10.0)
    highest: float = setting(1.0, "no temperature rises above this", low=0.001, high=10.0)
    rho: float = setting(
        1.5,
        "divergence of an anchor's softmax from the uniform that its temperature aims at",
        low=0.0,
        search=Range(0.2, 4.0),
    )
    rate: float = setting(0.03, "step size of the temperatures", low=0.0, search=Range(0.001, 0.1, log=True))
    beta: float = setting(0.5, "step of the mean of an anchor's slopes towards that of this visit", low=0.01, high=1.0)


class ISogCLR(SogCLR):
    """SogCLR with ``T <- T - rate v`` in bounds, ``v`` the moving mean of ``log u + rho - mean of w (s - s+) / T``."""

    Settings = ISogCLRSettings
    width = 4
    """Logarithm of u, visits with negatives, mean slope, temperature."""

    def report(self) -> dict[str, float]:
        """``temperature`` is the mean of all anchors seen so far."""
        seen = self.state[..., 1] > 0
        total = torch.where(seen, self.state[..., 3], 0).sum()
        return {"temperature": float(total / seen.sum()) if seen.any() else float(self.settings.temperature)}

    def temperatures(self, view: View) -> Tensor:
        _, visits, _, temperature = self.kept(view).to(view.similarity.dtype).unbind(dim=1)
        return torch.where(visits > 0, temperature, float(self.settings.temperature))

    @torch.no_grad()
    def step(self, view: View, logits: Tensor) -> tuple[Tensor, Tensor]:
        before, temperature = self.kept(view).to(logits.dtype), self.temperatures(view)
        log_u, sees = self.updated(before[:, :2], logits)
        negative = logits > -torch.inf
        count = negative.sum(dim=1).clamp_min(1)
        drawn = torch.where(negative, (logits - log_u[:, None]).exp() * logits, 0).sum(dim=1) / count
        slope = (log_u + float(self.settings.rho) - drawn).clamp(-STEEPEST, STEEPEST)
        mean = torch.lerp(before[:, 2], slope, float(self.settings.beta))
        moved = temperature - float(self.settings.rate) * mean
        moved = moved.clamp(float(self.settings.lowest), float(self.settings.highest))
        fresh = torch.stack([log_u, before[:, 1] + 1, mean, moved], dim=1)
        return log_u, torch.where(sees[:, None], fresh, before)
