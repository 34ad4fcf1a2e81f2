"""What a training step of a recipe costs beside the bare products of its towers and similarities, and where it goes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from negbench.benchmark.speed.made_step import FEATURES, made_step
from negbench.benchmark.speed.method_cost import interleaved
from negbench.benchmark.training.loop import prepare
from negbench.benchmark.training.phases import NAMES

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig

WARM, STEPS = 20, 100
"""Steps before anything is timed, and those whose parts are."""


def measure(config: "RunConfig") -> dict[str, Any]:
    """Time a step of towers that are linear maps of 512 features, with a full memory.

    Keys: ``step_ms`` and ``product_ms`` (medians that take turns), their ``ratio``, and the mean milliseconds of the
    parts: ``towers`` with the momentum copies, ``loss``, ``backward``, ``optimiser``. Validation, audit and start are
    not in it.
    """
    prepare(config)
    trainer, batch = made_step(config)
    for _ in range(WARM):
        trainer.step(batch)
    bare = products(config)
    times = interleaved({"step": lambda: trainer.step(batch), "product": bare}, config.device)
    trainer.phases.start_epoch()
    for _ in range(STEPS):
        trainer.phases.begin(1)  # each is measured
        trainer.step(batch)
    parts = trainer.phases.report()
    return {
        "method": config.method,
        "batch": config.batch,
        "memory": config.memory,
        "dim": config.dim,
        "features": FEATURES,
        "threads": config.threads,
        "device": config.device,
        "step_ms": times["step"],
        "product_ms": times["product"],
        "ratio": times["step"] / times["product"],
        **{name: parts[f"ms_{name}"] for name in NAMES if name != "data"},
    }


@torch.no_grad()
def products(config: "RunConfig") -> Callable[[], None]:
    """The bare products of a step: each side's map and the gradient by it, the momentum copies', the similarities."""
    device, batch, dim = config.device, config.batch, config.dim
    features, weights = torch.randn(batch, FEATURES, device=device), torch.randn(dim, FEATURES, device=device)
    joint = torch.randn(batch, dim, device=device)
    pool = torch.randn(batch + config.memory, dim, device=device)

    def bare() -> None:
        for _ in range(2 * (1 + bool(config.memory))):
            torch.matmul(features, weights.T)
        for _ in range(2):
            torch.matmul(joint.T, features)
            torch.matmul(joint, pool.T)

    return bare
