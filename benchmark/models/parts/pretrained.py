"""What towers that begin with weights from elsewhere have in common: which of them learn, how fast, and the head."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from negbench.benchmark.errors import BenchError
from negbench.benchmark.models.base import ParameterGroup, Range, Source, TowerSettings, setting

LORA_TARGETS = "all-linear"


@dataclass(frozen=True)
class BackboneSettings(TowerSettings):
    """What every tower with a backbone has."""

    rate: float = setting(
        1.0,
        "Factor of the learning rate for weights from elsewhere.",
        low=0,
        high=10,
        search=Range(0.01, 1, log=True),
    )
    frozen: int = setting(
        0, "Layers from the bottom that do not learn; -1: none of the network does.", low=-1, high=1000
    )
    project: bool = setting(True, "Whether a linear map leads into the joint space; else dim is the network's own.")


def freeze(bottom: Iterable[nn.Module], layers: nn.ModuleList, whole: nn.Module, frozen: int, side: str) -> None:
    """Stop the ``bottom`` and the first ``frozen`` layers from learning; -1: the ``whole`` network."""
    if frozen > len(layers):
        raise BenchError(f"{side}.frozen: {frozen} layers, and the network has {len(layers)}")
    stopped = [whole] if frozen < 0 else [*bottom, *list(layers)[:frozen]] if frozen else []
    for part in stopped:
        part.requires_grad_(False)


def head(source: Source, width: int, project: bool) -> nn.Module:
    """From the network's ``width`` to the joint space."""
    if project:
        return nn.Sequential(nn.Dropout(source.dropout), nn.Linear(width, source.dim))
    if width != source.dim:
        raise BenchError(f"{source.modality}.project: the network gives {width}, dim is {source.dim}; set dim={width}")
    return nn.Identity()


def groups(tower: nn.Module, net: nn.Module, rate: float) -> list[ParameterGroup]:
    """The network's weights at ``rate``, the others at the recipe's own."""
    inside = {id(weight) for weight in net.parameters()}
    learnt = [weight for weight in tower.parameters() if weight.requires_grad]
    found = [
        ParameterGroup([weight for weight in learnt if id(weight) in inside], rate),
        ParameterGroup([weight for weight in learnt if id(weight) not in inside]),
    ]
    return [group for group in found if group.weights]


def with_lora(net: Any, rank: int) -> Any:
    """Low-rank changes beside all linear layers learn, and nothing else. E. J. Hu et al. (2022), LoRA, ICLR."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError:
        raise BenchError("lora needs the package 'peft'; run: pip install 'negbench[lora]'") from None
    return inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=LORA_TARGETS), net)
