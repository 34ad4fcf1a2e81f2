"""How far a training is."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from negbench.benchmark.training.watcher import History

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig


@dataclass
class Progress:
    """Plain numbers; the tensors are beside it in ``Training``."""

    epoch: int = 0
    """The epoch that is being trained."""
    step: int = 0
    """Its steps that are done."""
    epoch_s: float = 0.0
    """Seconds of them."""
    step_ms: list[float] = field(default_factory=list)
    """Mean step of each epoch after the warm-up, in milliseconds."""
    cpu_share: list[float] = field(default_factory=list)
    """Share of each such epoch in which this thread ran, on a CPU: below 1 it waited, for other work or for data."""
    history: list[History] = field(default_factory=list)
    best_epoch: int = -1
    validation: dict[str, float] = field(default_factory=dict)
    """Metrics at the best epoch."""


class Saved(Protocol):
    """What a checkpoint holds."""

    config: "RunConfig"
    progress: Progress

    @property
    def seconds(self) -> float:
        """Since it was made."""

    def tensors(self) -> dict[str, Tensor]:
        """All that decides how it goes on."""

    def restore(self, progress: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """The opposite."""
