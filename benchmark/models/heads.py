"""Two projection heads on frozen features, into one space of unit vectors."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, normalize

from negbench.benchmark.recipe.seeds import seed_for

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import Recipe


class Head(nn.Module):
    """Features ``[B, D]`` to unit vectors ``[B, dim]``. Features are layer-normalised first, whatever their scale.

    Of a sequence ``[B, L, D]`` it takes the mean of the steps, or with ``attention`` a mean that is learnt: each
    step's weight is the softmax of a linear score. Steps of zeros are padding. The scores begin at zero: the learnt
    mean begins as the plain one.
    """

    def __init__(self, features: int, recipe: "Recipe") -> None:
        super().__init__()
        dropout = nn.Dropout(recipe.dropout)
        if recipe.head == "mlp":
            first, second = nn.Linear(features, recipe.hidden), nn.Linear(recipe.hidden, recipe.dim)
            self.project = nn.Sequential(dropout, first, nn.GELU(), dropout, second)
        else:
            self.project = nn.Sequential(dropout, nn.Linear(features, recipe.dim))
        self.score = nn.Parameter(torch.zeros(features)) if recipe.head == "attention" else None

    def forward(self, features: Tensor) -> Tensor:
        if features.ndim == 3:
            features = self.pool(features)
        return normalize(self.project(layer_norm(features, features.shape[-1:])), dim=-1)

    def pool(self, steps: Tensor) -> Tensor:
        """``[B, L, D]`` to ``[B, D]``."""
        real = (steps != 0).any(dim=2)
        scores = torch.zeros_like(steps[:, :, 0])
        if self.score is not None:
            scores = layer_norm(steps, steps.shape[-1:]) @ self.score
        weights = scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(dim=1)  # all padding: all alike
        return (weights[:, None] @ steps)[:, 0]


class TwoHeads(nn.Module):
    """A head per modality."""

    def __init__(self, image_features: int, text_features: int, recipe: "Recipe") -> None:
        super().__init__()
        self.image = Head(image_features, recipe)
        self.text = Head(text_features, recipe)

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        return self.image(image), self.text(text)


def make(image_features: int, text_features: int, recipe: "Recipe", seed: int) -> TwoHeads:
    """Heads whose initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "weights"))
        return TwoHeads(image_features, text_features, recipe)
