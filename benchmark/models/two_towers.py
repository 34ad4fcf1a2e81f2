"""A tower per modality, into one space of unit vectors."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from negbench.benchmark.errors import BenchError
from negbench.benchmark.models import registry
from negbench.benchmark.models.base import Modality, ParameterGroup, Source, Tower


class Plan(NamedTuple):
    """A tower that is to be made."""

    name: str
    source: Source
    settings: dict[str, Any] = {}  # noqa: RUF012  never changed


class TwoTowers(nn.Module):
    """What is compared."""

    def __init__(self, image: Tower, text: Tower) -> None:
        super().__init__()
        self.image, self.text = image, text

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        return self.image(image), self.text(text)

    def groups(self) -> list[ParameterGroup]:
        """Weights that learn, of both, by rate; the order is that of the weights."""
        return [*self.image.groups(), *self.text.groups()]


def make(image: Plan, text: Plan, seed: int) -> TwoTowers:
    """Towers whose initial weights depend on the seed alone; ``BenchError`` where one cannot be made of its source."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TwoTowers(tower(*image), tower(*text))


def tower(name: str, source: Source, settings: dict[str, Any]) -> Tower:
    """One tower by its name."""
    kind = registry.for_side(name, source.modality)
    return kind(source, checked(kind, source.modality, settings), registry.split(name)[1])


def checked(kind: type[Tower], modality: Modality, settings: dict[str, Any]) -> Any:
    """A tower's settings; ``BenchError`` for unknown ones and values out of range."""
    try:
        return kind.settings_of(modality).of(settings)
    except ValueError as error:
        raise BenchError(f"{modality}: {error}") from None
