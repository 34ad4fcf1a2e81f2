"""Every method in mixed precision and without gradients; similarities that differ by rounding alone; learnt scales."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from negbench import methods
from negbench.methods.base import Direction, Extras, Memory, Method, views
from negbench.methods.registry import get

MakeExtras = Callable[[int, int, int], Extras]
"""Of B anchors and N candidates in D dimensions."""
B, POOL, D = 70, 90, 8
"""More anchors than are computed at once."""
WITH_MEMORY = pytest.mark.parametrize("with_memory", [False, True], ids=["batch", "memory"])
HALF = pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])


def unit(rows: int, dim: int = D, seed: int = 0) -> Tensor:
    return normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def step(
    method: Method, extras: MakeExtras, with_memory: bool, context: AbstractContextManager[object], gradient: bool
) -> list[Tensor]:
    """Loss, gradients, choices and state of one step whose loss is computed in a context."""
    image, text, ids = unit(B).requires_grad_(gradient), unit(B, seed=1).requires_grad_(gradient), torch.arange(B)
    memory = Memory(unit(POOL, seed=2), unit(POOL, seed=3), torch.arange(POOL)) if with_memory else None
    more = extras(B, POOL if with_memory else B, D)
    stream = torch.Generator().manual_seed(0)
    for _ in range(2):  # the second by what the first has left behind
        with context:
            loss = method.loss(image, text, ids, memory, stream, more)
    if gradient:
        torch.autograd.backward(loss)
    grads = [each.grad for each in (image, text) if each.grad is not None]
    state = [value for _, value in sorted(method.state_dict().items())]
    return [loss.detach(), *grads, *(method.chosen[side] for side in sorted(method.chosen)), *state]


@pytest.mark.parametrize("name", methods.names())
@WITH_MEMORY
@HALF
def test_loss_inside_autocast_is_that_outside(
    name: str, with_memory: bool, half: torch.dtype, extras: MakeExtras
) -> None:
    outside = step(get(name)(), extras, with_memory, torch.autocast("cpu", enabled=False), gradient=True)
    inside = step(get(name)(), extras, with_memory, torch.autocast("cpu", dtype=half), gradient=True)
    assert inside[0].isfinite()
    torch.testing.assert_close(inside, outside, rtol=0, atol=0)


@pytest.mark.parametrize("name", methods.names())
@WITH_MEMORY
@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad], ids=["inference_mode", "no_grad"])
def test_loss_without_gradients_is_that_with(
    name: str, with_memory: bool, context: type[torch.no_grad], extras: MakeExtras
) -> None:
    """Loss, choices and state; a training may go on after an evaluation."""
    method = get(name)()
    with_gradient = step(get(name)(), extras, with_memory, torch.enable_grad(), gradient=True)
    without = step(method, extras, with_memory, context(), gradient=False)
    del with_gradient[1:3]  # those of image and text
    torch.testing.assert_close(without, with_gradient, rtol=1e-5, atol=1e-6)
    step(method, extras, with_memory, torch.enable_grad(), gradient=True)


@pytest.mark.parametrize("name", methods.names())
@WITH_MEMORY
@HALF
def test_loss_of_features_in_half_precision(
    name: str, with_memory: bool, half: torch.dtype, extras: MakeExtras
) -> None:
    """As far as their similarities carry it: divided by the lowest temperature, 0.01, and through a few draws."""
    ids = torch.arange(B)

    def loss(kind: torch.dtype) -> Tensor:
        image, text = (each.to(half).to(kind).requires_grad_() for each in (unit(B), unit(B, seed=1)))
        pool = [unit(POOL, seed=seed).to(half).to(kind) for seed in (2, 3)]
        memory = Memory(pool[0], pool[1], torch.arange(POOL)) if with_memory else None
        more = extras(B, POOL if with_memory else B, D)
        found = get(name)().loss(image, text, ids, memory, torch.Generator().manual_seed(0), more)
        torch.autograd.backward(found)
        for side in (image, text):
            assert side.grad is not None
            assert side.grad.isfinite().all()
        return found.detach()

    got = loss(half)
    assert got.isfinite()
    torch.testing.assert_close(got, loss(torch.float32), rtol=0.02, atol=0.02)


def copies(rows: int, dim: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Anchors, partners, and for each anchor the row of a copy of its partner: in the batch, under another id."""
    stream = torch.Generator().manual_seed(seed)
    anchors = normalize(torch.randn(rows, dim, generator=stream), dim=1)
    partners = normalize(anchors + torch.randn(rows, dim, generator=stream) / dim**0.5, dim=1)
    half = rows // 2
    partners[half:] = partners[:half]
    anchors[half:] = normalize(partners[half:] + torch.randn(half, dim, generator=stream) / dim**0.5, dim=1)
    return anchors, partners, (torch.arange(rows) + half) % rows


@pytest.mark.parametrize("dim", [16, 37, 256, 512, 1000])
@pytest.mark.parametrize("rows", [34, 128, 400])
@pytest.mark.parametrize("direction", ["i2t", "t2i"])
@WITH_MEMORY
def test_a_copy_of_the_partner_is_as_similar_as_the_partner(
    dim: int, rows: int, direction: Direction, with_memory: bool
) -> None:
    """Its similarity is rounded in another place of the product."""
    anchors, partners, copy = copies(rows, dim, seed=dim + rows)
    ids, memory = torch.arange(rows), None
    if with_memory:
        queue = unit(777, dim, seed=5)
        queue[:rows] = partners  # one copy more, far from the first
        pools = [torch.cat([each, queue]) for each in (anchors, partners)]
        pool_ids = torch.arange(rows + len(queue))
        first, second = pools if direction == "i2t" else reversed(pools)
        memory = Memory(first, second, pool_ids)
    image, text = (anchors, partners) if direction == "i2t" else (partners, anchors)
    semi_hard, aware = get("semi-hard")(), get("positive-aware")(distance=0.0)
    for method in (semi_hard, aware):
        method.loss(image, text, ids, memory)
    view = next(view for view in views(image, text, ids, memory) if view.direction == direction)
    chosen = view.candidates[semi_hard.chosen[direction]]
    assert not (chosen == partners).all(dim=1).any()  # the rule asks for less than the positive
    suspicion = semi_hard.suspicion(view), aware.suspicion(view)
    assert suspicion[0] is not None
    assert suspicion[1] is not None
    everywhere = (view.candidates[None, :, 0] == partners[:, None, 0]) & ~view.positive
    assert everywhere.gather(1, copy[:, None]).all()
    assert (suspicion[0][everywhere] == 1).all()
    assert (suspicion[1][everywhere] == 0).all()  # at distance 0 the cap is the positive itself
    picked = view.similarity.gather(1, aware.chosen[direction][:, None])[:, 0]
    copied = torch.where(everywhere, view.similarity, -math.inf).amax(dim=1)
    assert (picked >= copied - 1e-6).all()


def learning(name: str) -> tuple[Method, list[torch.nn.Parameter]]:
    """A method that learns its scale, and the scale's logarithm; none where it has no scale."""
    method = get(name)(**({"learn": True} if "learn" in asdict(get(name).Settings()) else {}))
    return method, [parameter for key, parameter in method.named_parameters() if key.endswith("log_scale")]


LEARNT = [name for name in methods.names() if learning(name)[1]]


def test_all_softmaxes_can_learn_their_scale() -> None:
    assert {"info-nce", "siglip", "gist", "momentum-distilled", "multi-positive", "fne-info-nce"} <= set(LEARNT)


@pytest.mark.parametrize("name", LEARNT)
@pytest.mark.parametrize("beyond", [0.0, 1e-6, 2.0])
def test_a_scale_at_its_bound_or_beyond_still_learns(name: str, beyond: float, extras: MakeExtras) -> None:
    method, [log_scale] = learning(name)
    loss = partial(method.loss, unit(16), unit(16, seed=1), torch.arange(16), extras=extras(16, 16, D))
    with torch.no_grad():
        log_scale.fill_(math.log(100) + beyond)
    optimizer = torch.optim.SGD([log_scale], lr=1e-3)
    for step in range(3):  # of partners that are alike by chance alone: the sharper the softmax, the worse
        optimizer.zero_grad()
        torch.autograd.backward(loss(generator=torch.Generator().manual_seed(0)))
        assert log_scale.item() <= math.log(100) + 1e-6
        assert log_scale.grad is not None
        assert log_scale.grad.abs() > 0
        optimizer.step()
        assert log_scale.item() < math.log(100) or step == 0


@pytest.mark.parametrize("name", ["info-nce", "gist"])
def test_the_lowest_temperature_is_a_start_like_any_other(name: str, extras: MakeExtras) -> None:
    method = get(name)(temperature=0.01, learn=True)
    torch.autograd.backward(method.loss(unit(16), unit(16, seed=1), torch.arange(16), extras=extras(16, 16, D)))
    [parameter] = method.parameters()
    assert parameter.grad is not None
    assert parameter.grad.abs() > 0


def test_the_temperature_reported_is_within_its_bound() -> None:
    for name, key, low, high in (("info-nce", "temperature", 0.00999, 10.0), ("siglip", "scale", 0.0, 100.001)):
        method, [log_scale] = learning(name)
        with torch.no_grad():
            log_scale.fill_(6.0)
        assert low <= method.report()[key] <= high
