"""The interface of a tower: items of one modality in, unit vectors of the joint space out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn

from negbench.methods.interface.settings import Choice, Range, setting
from negbench.methods.interface.settings import Settings as TowerSettings

__all__ = ["Choice", "Modality", "ParameterGroup", "Range", "Reads", "Source", "Tower", "TowerSettings", "setting"]

Modality = Literal["image", "text"]
Reads = Literal["vectors", "sequences", "pixels", "text"]
"""``vectors [B, D]``; ``sequences [B, L, D]``, steps of zeros are padding; ``pixels [B, 3, H, W]`` uint8; ``text``,
which the tower's own ``tokens`` turns into ``[B, L]``."""
VECTORS: Final[dict[Modality, Reads]] = {"image": "vectors", "text": "vectors"}
SEQUENCES: Final[dict[Modality, Reads]] = {"image": "sequences", "text": "sequences"}
PIXELS: Final[dict[Modality, Reads]] = {"image": "pixels"}
TEXT: Final[dict[Modality, Reads]] = {"text": "text"}
PADDING = -1
"""Number of no token."""


@dataclass(frozen=True)
class Source:
    """What a tower is made for."""

    modality: Modality
    shape: tuple[int, ...]
    """Of an item: ``(D,)``, ``(L, D)`` or ``(3, H, W)``; ``()`` of a text."""
    dim: int
    """Of the joint space."""
    hidden: int = 512
    """The recipe's width of hidden layers."""
    dropout: float = 0.0
    """The recipe's dropout before each linear layer of a head."""
    captions: Sequence[str] = ()
    """Those of the training split, where the tower reads text: what a vocabulary is made from."""


@dataclass(frozen=True)
class ParameterGroup:
    """Weights that learn at one rate."""

    weights: list[nn.Parameter]
    rate: float = 1.0
    """Factor of the recipe's learning rate."""


class Tower(nn.Module, ABC):
    """One file of this folder, or an entry point of the group ``negbench.towers``.

    The first line of its docstring says what it is; the rest its source.
    """

    reads: ClassVar[dict[Modality, Reads]]
    """What it takes of a modality; a modality that is not there is none of its own."""
    family: ClassVar[str] = ""
    """Where a model is named behind the tower's name, ``hf:NAME``: an example of such a name."""
    extra: ClassVar[str | None] = None
    """The extra of negbench that brings its packages, where it needs any."""
    packages: ClassVar[tuple[str, ...]] = ()
    Settings: ClassVar[type[TowerSettings]] = TowerSettings

    def __init__(self, source: Source, settings: TowerSettings, model: str = "") -> None:
        """``model``: what follows the colon of a family's name. ``BenchError`` where it cannot be made of this."""
        super().__init__()

    @abstractmethod
    def forward(self, items: Tensor) -> Tensor:
        """A batch of what it reads to unit vectors ``[B, dim]``."""

    def augmented(self, items: Tensor) -> Tensor:
        """What a training step sees of the items; momentum copies see the same."""
        return items

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """``[n, L]`` int32, padded with ``PADDING``, of a tower that reads text. A text is cut where it is too long."""
        raise NotImplementedError

    @classmethod
    def settings_of(cls, modality: Modality) -> type[TowerSettings]:
        """Those of one side, where the sides differ."""
        return cls.Settings

    def groups(self) -> list[ParameterGroup]:
        """Weights that learn, by rate."""
        return [ParameterGroup([weight for weight in self.parameters() if weight.requires_grad])]


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Numbers of tokens as one tensor ``[n, L]``, int32."""
    found = torch.full((len(rows), max(map(len, rows), default=1)), PADDING, dtype=torch.int32)
    for place, row in enumerate(rows):
        found[place, : len(row)] = torch.tensor(row, dtype=torch.int32)
    return found
