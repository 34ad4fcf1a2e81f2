"""The gradient of a loss over all candidates, made in parts, is that of the loss made at once."""

import copy
from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn.functional import normalize

import methods
from methods.base import Extras, Listwise, Memory, views

if TYPE_CHECKING:
    from collections.abc import Callable

LISTWISE = [name for name in methods.names() if issubclass(methods.get(name), Listwise)]
ANCHORS, QUEUED, DIM = 100, 60, 16  # more than a block of anchors


@pytest.mark.parametrize("memory", [False, True], ids=["batch", "memory"])
@pytest.mark.parametrize("name", LISTWISE)
def test_the_gradient_in_parts_is_the_gradient(
    name: str, memory: bool, extras: "Callable[[int, int, int], Extras]"
) -> None:
    torch.manual_seed(0)
    image, text = (normalize(torch.randn(ANCHORS, DIM, dtype=torch.float64), dim=1) for _ in range(2))
    image.requires_grad_()
    text.requires_grad_()
    ids = torch.arange(ANCHORS) // 2
    queue = None
    if memory:
        ims, txs = (normalize(torch.randn(ANCHORS + QUEUED, DIM, dtype=torch.float64), dim=1) for _ in range(2))
        queue = Memory(ims, txs, torch.cat([ids, torch.arange(1000, 1000 + QUEUED)]))
    seen = extras(ANCHORS, ANCHORS + QUEUED * memory, DIM)
    method = methods.get(name)().double()
    whole = copy.deepcopy(method)
    got = torch.autograd.grad(method.loss(image, text, ids, queue, extras=seen), [image, text])
    whole.begin(image, text, ids, seen)
    loss = sum((whole.view_loss(view) for view in views(image, text, ids, queue, extras=seen)), torch.zeros(()))
    expected = torch.autograd.grad(loss, [image, text])
    assert all(gradient.abs().max() > 0 for gradient in expected)
    torch.testing.assert_close(got, expected)
