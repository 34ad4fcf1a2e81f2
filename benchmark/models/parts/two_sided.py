"""A family whose models have both sides: the tower is the one that it is made for."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from negbench.benchmark.models.base import PIXELS, TEXT, Modality, ParameterGroup, Source, Tower, TowerSettings


class TwoSided(Tower):
    """No tower by itself."""

    reads = PIXELS | TEXT
    sides: ClassVar[dict[Modality, type[Tower]]]
    """The tower of each side."""

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        super().__init__(source, settings)
        self.side = self.sides[source.modality](source, settings, model)

    @classmethod
    def settings_of(cls, modality: Modality) -> type[TowerSettings]:
        return cls.sides[modality].Settings

    def forward(self, items: Tensor) -> Tensor:
        found: Tensor = self.side(items)
        return found

    def augmented(self, items: Tensor) -> Tensor:
        return self.side.augmented(items)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        return self.side.tokens(texts)

    def groups(self) -> list[ParameterGroup]:
        return self.side.groups()
