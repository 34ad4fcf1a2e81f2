"""A step is one graph: no shape depends on data, and nothing is read back."""

from functools import partial
from typing import Any

import pytest
import torch

from negbench import methods
from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.speed import operations
from negbench.benchmark.speed.method_cost import extras, pairs
from negbench.benchmark.training.inputs import opened, towers_for
from negbench.benchmark.training.loop import prepare
from negbench.benchmark.training.task import Task
from negbench.benchmark.training.trainer import Trainer, batches
from negbench.methods import fne
from negbench.methods.base import Method
from negbench.methods.interface import drawing, inputs, view
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth
from together import texts

Tiny = tuple[Manifest, FeatureStore]
IN_TEXT = {name for name in methods.names() if "words" in methods.get(name).needs}
"""What they make of captions as text is no tensor operation."""
ROOM = 100
"""Above all numbers here of images and captions."""


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are traced and run as they are, which needs no compiler of C++."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))


@pytest.fixture(autouse=True)
def no_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both directions at once draw other numbers than one after the other: here the largest weight wins."""
    for module in (drawing, fne):
        monkeypatch.setattr(module, "race", lambda weights, generator: weights.argmax(dim=-1))


def made(name: str) -> Method:
    method = methods.get(name)(**({"k": 1} if name == "top-k" else {}))
    method.make_room(ROOM)
    return method


def steps(method: Method, memory: int, compiled: bool, count: int = 3) -> list[torch.Tensor]:
    """Losses, gradients, picks and state of a few steps."""
    stream = torch.Generator().manual_seed(0)
    image, text, ids, pool = pairs(16, memory, 8, stream)
    more = extras(image, text, pool, stream)
    torch._dynamo.reset()
    call: Any = torch.compile(method.loss, fullgraph=True) if compiled else method.loss
    found: list[torch.Tensor] = []
    torch.manual_seed(0)
    for _ in range(count):
        image.grad = text.grad = None
        loss = call(image, text, ids, pool, None, more)
        torch.autograd.backward(loss)
        assert image.grad is not None
        assert text.grad is not None
        left = [loss.detach(), image.grad, text.grad, *method.chosen.values(), *method.state_dict().values()]
        found += [value.clone() for value in left]
    return found


@pytest.mark.parametrize("memory", [pytest.param(0, marks=pytest.mark.thorough), 64])
@pytest.mark.parametrize("name", sorted({*methods.names()} - IN_TEXT))
def test_the_loss_of_every_method_is_one_graph(name: str, memory: int) -> None:
    plain = steps(made(name), memory, compiled=False)
    graph = steps(made(name), memory, compiled=True)
    for one, other in zip(plain, graph, strict=True):
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("memory", [0, 64])
@pytest.mark.parametrize("name", sorted({*methods.names()} - IN_TEXT))
def test_where_values_cannot_be_looked_at_the_loss_is_the_same(
    name: str, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = steps(made(name), memory, compiled=False)
    for module in (inputs, view, drawing, fne):
        monkeypatch.setattr(module, "can_be_looked_at", lambda values: False)
    assert view.together(*methods.get(name)().look(*pairs(16, memory, 8, torch.Generator())))
    for one, other in zip(plain, steps(made(name), memory, compiled=False), strict=True):
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", sorted({*methods.names()} - IN_TEXT))
def test_operations_do_not_grow_with_the_memory(name: str) -> None:
    small, large = (operations.measure(name, 128, memory, 64) for memory in (1024, 65536))
    assert small["all"] == large["all"]
    assert sum(large["kind"].values()) == large["all"]


@pytest.mark.parametrize("memory", [pytest.param(0, marks=pytest.mark.thorough), 18])
@pytest.mark.parametrize("name", sorted({*methods.names()} - IN_TEXT))
def test_a_training_step_of_every_method_is_one_graph(name: str, memory: int, tiny: Tiny) -> None:
    recipe: dict[str, Any] = {"batch": 12, "dim": 8, "epochs": 2, "dropout": 0.0, "warmup_epochs": 0, "memory": memory}
    recipe |= {"settings": made(name).settings.changed()}
    plain, graph = (trained(name, tiny, recipe | {"compile": compile}) for compile in (False, True))
    assert plain.keys() == graph.keys()
    for key, value in plain.items():
        torch.testing.assert_close(graph[key], value, atol=1e-5, rtol=1e-4, msg=key)


@pytest.mark.parametrize("name", ["crcl", "momentum-distilled", "isogclr"])
def test_what_a_graph_keeps_stays_in_its_place(name: str, tiny: Tiny) -> None:
    """A graph that is recorded has memory of its own, which each replay writes over."""
    config = RunConfig(method=name, dataset="tiny", encoder="made+up", batch=12, dim=8, memory=0, compile=True)
    prepare(config)
    towers = towers_for(tiny[1], config)
    task = Task(config, towers, opened(tiny[1], "train", config, towers))
    torch._dynamo.reset()
    trainer, buffers = Trainer(config, task), dict(task.named_buffers())
    before = {key: value.clone() for key, value in buffers.items()}
    for batch in task.data.batches(list(batches(config, 0, len(task.data.captions)))[:2]):
        trainer.step(batch)
        assert all(value is buffers[key] for key, value in task.named_buffers())
    kept = {"momentum-distilled": "method.steps"}.get(name, "method.state")
    assert not torch.equal(buffers[kept], before[kept])


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"method": "tags"}, "tags makes texts"), ({"positives": "oracle"}, "positives=oracle looks the truth up")],
)
def test_what_is_no_graph_is_refused_before_it_is_trained(changes: dict[str, str], said: str, tiny: Tiny) -> None:
    plain = {"method": "fne", "dataset": "tiny", "encoder": "made+up", "batch": 12, "dim": 8, "compile": True}
    recipe: dict[str, Any] = plain | changes
    config = RunConfig(**recipe)
    towers = towers_for(tiny[1], config)
    with pytest.raises(BenchError, match=f"^compile: {said}.*; leave it false$"):
        Task(
            config,
            towers,
            opened(tiny[1], "train", config, towers),
            Truth.read(manifest_folder("tiny")),
            texts(tiny[0]),
        )


def trained(name: str, tiny: Tiny, recipe: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Losses, picks and state of some steps."""
    manifest, store = tiny
    config = RunConfig(method=name, dataset="tiny", encoder="made+up", **recipe)
    prepare(config)
    towers = towers_for(store, config)
    task = Task(config, towers, opened(store, "train", config, towers), texts=texts(manifest))
    task.generator = None  # the draws of a graph
    torch._dynamo.reset()
    trainer, found = Trainer(config, task), dict[str, torch.Tensor]()
    task.method.start_epoch()
    for step, batch in enumerate(task.data.batches(list(batches(config, 0, len(task.data.captions)))[:6])):
        trainer.set_rate(step)
        found[f"loss.{step}"] = trainer.step(batch)
        found |= {f"picks.{step}.{direction}": index.clone() for direction, index in task.method.chosen.items()}
    return found | {f"state.{key}": value.clone() for key, value in task.state_dict().items()}
