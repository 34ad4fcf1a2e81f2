"""A batch that goes through the towers in parts has the gradient of the whole batch, for every registered method."""

from typing import Any

import pytest
import torch

from negbench import methods
from negbench.benchmark.models.base import Source
from negbench.benchmark.models.two_towers import tower
from negbench.benchmark.training.task import in_parts
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore
from together import run

Tiny = tuple[Manifest, FeatureStore]


@pytest.mark.parametrize("memory", [0, 18])
@pytest.mark.parametrize("name", methods.names())
def test_every_method_s_step_is_that_of_the_whole_batch(name: str, memory: int, tiny: Tiny) -> None:
    manifest, store = tiny
    whole, parts = (run(name, memory, store, manifest, micro_batch=size) for size in (0, 5))
    assert whole.keys() == parts.keys()
    for key, value in whole.items():
        if key.startswith("picks."):
            assert torch.equal(parts[key], value), key
        elif key.startswith(("grad.", "loss.0")):
            torch.testing.assert_close(parts[key], value, atol=1e-6, rtol=1e-6, msg=key)


@pytest.mark.parametrize("changes", [{"dropout": 0.5}, {}])
def test_dropout_is_replayed(changes: dict[str, Any]) -> None:
    """The gradient is that of the very masks of the forward pass: as of a graph that was kept."""
    one = tower("mlp", Source("image", (12,), 8, hidden=16, **changes), {})
    one.train()
    items, target = torch.randn(10, 12), torch.randn(10, 8)
    state = torch.get_rng_state()
    kept = torch.cat([one(part) for part in torch.split(items, 3)])
    torch.autograd.backward((kept * target).sum())
    expected = {key: weight.grad.clone() for key, weight in one.named_parameters() if weight.grad is not None}
    one.zero_grad()
    torch.set_rng_state(state)
    replayed = in_parts(one, items, 3)
    torch.randn(7)  # the stream has moved on since
    after = torch.get_rng_state()
    torch.autograd.backward((replayed * target).sum())
    assert torch.equal(torch.get_rng_state(), after)
    assert torch.equal(replayed, kept)
    for key, weight in one.named_parameters():
        assert weight.grad is not None
        torch.testing.assert_close(weight.grad, expected[key], atol=1e-6, rtol=1e-6)


def test_only_a_part_is_kept() -> None:
    """Bytes that a batch keeps for its backward pass."""
    one = tower("mlp", Source("image", (12,), 8, hidden=512), {})
    items = torch.randn(256, 12)

    def kept(size: int) -> int:
        seen: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            in_parts(one, items, size)
        return sum(seen.values())

    assert kept(16) < kept(0) / 4
