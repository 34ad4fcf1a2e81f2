"""The memory: a queue of any size, saved and restored, begun empty or random, in single or half precision."""

import copy
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from negbench import methods
from negbench.benchmark.audit.picks import PickCount
from negbench.benchmark.models.two_towers import TwoTowers
from negbench.benchmark.recipe.schema import Recipe, RunConfig
from negbench.benchmark.training.inputs import opened, towers_for
from negbench.benchmark.training.loop import train
from negbench.benchmark.training.memory import RANDOM_CAPTION, RANDOM_ID, MomentumMemory
from negbench.benchmark.training.task import Task
from negbench.benchmark.training.trainer import Trainer
from negbench.methods.base import Memory
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth
from small_towers import linear

Tiny = tuple[Manifest, FeatureStore]
DIM = 4
Row = tuple[int, list[float], list[float]]
"""Id, image and text of a pair."""


def towers() -> TwoTowers:
    return linear(6, 5, Recipe(dim=DIM))


def memory_of(model: TwoTowers, size: int, batch: int, **changes: Any) -> MomentumMemory:
    return MomentumMemory(model, size=size, batch=batch, dim=DIM, momentum=0.5, **changes)


def drift(model: TwoTowers, generator: torch.Generator) -> None:
    """As an optimiser would."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))


def look(memory: MomentumMemory, model: TwoTowers, step: int, generator: torch.Generator) -> Memory:
    batch = memory.batch
    ids = torch.arange(batch) + batch * step
    features = torch.randn(batch, 6, generator=generator), torch.randn(batch, 5, generator=generator)
    image, text = memory.follow(model)(*features)
    return memory.look(image, text, ids, ids * 10)


@pytest.mark.parametrize("size, batch", [*product([1, 3, 4, 7, 10], [1, 3, 4]), (2, 64)])
@pytest.mark.parametrize("start", ["empty", "random"])
def test_a_queue_of_the_last_pairs_for_any_sizes(size: int, batch: int, start: str) -> None:
    """Against a plain list of (id, image, text), the oldest first."""
    model, generator = towers(), torch.Generator().manual_seed(0)
    memory = memory_of(model, size, batch, start=start)
    queue: list[Row] = []
    for step in range(9):
        seen = copied(look(memory, model, step, generator))
        if step == 0 and start == "random":
            queue = rows(seen)[batch:]
            assert len(queue) == size
        assert seen.ids[:batch].tolist() == list(range(batch * step, batch * step + batch))
        assert sorted(rows(seen)[batch:]) == sorted(queue)
        captions = memory.captions[: len(seen.ids)]
        assert torch.equal(captions, torch.where(seen.ids < 0, RANDOM_CAPTION, seen.ids * 10))
        assert torch.allclose(seen.image.norm(dim=1), torch.ones(len(seen.ids)))
        memory.keep()
        queue = (queue + rows(seen)[:batch])[-size:]
    assert memory.filled == len(queue)


def rows(seen: Memory) -> list[Row]:
    return list(zip(*(tensor.tolist() for tensor in (seen.ids, seen.image, seen.text)), strict=True))


def copied(seen: Memory) -> Memory:
    return Memory(*(tensor.clone() for tensor in seen))


def test_sizes_without_pairs_and_other_batches_are_refused() -> None:
    model, one = towers(), (torch.randn(1, DIM), torch.randn(1, DIM), torch.arange(1), torch.arange(1))
    with pytest.raises(ValueError, match="memory of 0 pairs for batches of 4"):
        memory_of(model, 0, 4)
    with pytest.raises(ValueError, match="made for batches of 4, got 1"):
        memory_of(model, 8, 4).look(*one)


@pytest.mark.parametrize("kept", [0, 1, 2, 5])
@pytest.mark.parametrize("start", ["empty", "random"])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_restored_memory_goes_on_bit_for_bit(kept: int, start: str, precision: str, tmp_path: Any) -> None:
    model, generator = towers(), torch.Generator().manual_seed(0)
    memory = memory_of(model, 10, 4, start=start, precision=precision)
    for step in range(kept):
        look(memory, model, step, generator)
        drift(model, generator)
        memory.keep()
    torch.save(memory.state_dict(), tmp_path / "memory.pt")
    saved_model, saved_generator = copy.deepcopy(model), generator.get_state()

    def goes_on(memory: MomentumMemory, model: TwoTowers, generator: torch.Generator) -> list[Tensor]:
        seen: list[Tensor] = []
        for step in range(kept, kept + 6):
            seen += copied(look(memory, model, step, generator))
            drift(model, generator)
            memory.keep()
        return [*seen, memory.captions.clone()]

    uninterrupted = goes_on(memory, model, generator)
    other = memory_of(towers(), 10, 4, precision=precision, seed=5)
    other.load_state_dict(torch.load(tmp_path / "memory.pt"))  # plain numbers and tensors: safe to load
    restored = goes_on(other, saved_model, torch.Generator().set_state(saved_generator))
    assert all(torch.equal(one, two) for one, two in zip(uninterrupted, restored, strict=True))
    assert (memory.filled, memory._next) == (other.filled, other._next)


def test_nothing_of_the_memory_is_trained(tiny: Tiny) -> None:
    store, cell = tiny[1], config(memory=16)
    made = towers_for(store, cell)
    task = Task(cell, made, opened(store, "train", cell, made))
    trainer = Trainer(cell, task)
    assert task.memory is not None
    optimised = {id(weight) for group in trainer.optimizer.param_groups for weight in group["params"]}
    assert not optimised & {id(weight) for weight in task.memory.parameters()}
    assert not any(weight.requires_grad for weight in task.memory.parameters())
    assert all(weight.requires_grad for weight in task.towers.parameters())
    assert not any(module.training for module in task.memory.train().modules())


def test_a_random_start_is_full_of_unit_vectors_of_no_image() -> None:
    model = towers()
    one, two, other = (memory_of(model, 500, 4, start="random", seed=seed) for seed in (1, 1, 2))
    queue = slice(4, None)
    assert one.filled == 500
    assert (one.ids[queue] == RANDOM_ID).all()
    assert (one.captions[queue] == RANDOM_CAPTION).all()
    for name in ("image", "text"):
        drawn = getattr(one, name)[queue]
        assert torch.allclose(drawn.norm(dim=1), torch.ones(500))
        assert drawn.mean(dim=0).norm() < 0.15  # no direction preferred
        assert torch.equal(drawn, getattr(two, name)[queue])
        assert not torch.equal(drawn, getattr(other, name)[queue])
    assert not torch.equal(one.image[queue], one.text[queue])


@pytest.mark.parametrize(("precision", "kind"), [("float16", torch.float16), ("bfloat16", torch.bfloat16)])
def test_half_precision_takes_half_the_room_and_rounds_only(precision: str, kind: torch.dtype) -> None:
    model = towers()
    single, half = memory_of(model, 12, 4), memory_of(model, 12, 4, precision=precision)
    assert (half.image.dtype, half.text.dtype) == (kind, kind)
    assert half.image.nbytes * 2 == single.image.nbytes
    features, rows = (torch.randn(4, 6), torch.randn(4, 5)), torch.arange(4)
    sides = single.follow(model)(*features)
    kept = [memory.look(sides[0], sides[1], rows, rows) for memory in (single, half)]
    assert torch.equal(kept[0].image.to(kind), kept[1].image)
    image, text = (side.detach().requires_grad_() for side in model(*features))
    losses = [methods.get("hardest")().loss(image, text, rows, memory) for memory in kept]
    assert losses[1].dtype == torch.float32
    assert torch.allclose(losses[0], losses[1], atol=1e-2)


def config(**changes: Any) -> RunConfig:
    plain: dict[str, Any] = {"method": "hardest", "dataset": "tiny", "encoder": "made+up", "batch": 16, "dim": 8}
    return RunConfig(**(plain | {"epochs": 3, "learning_rate": 0.01} | changes))


@pytest.mark.parametrize("size", [5, 16, 300])
@pytest.mark.parametrize("start, precision", [("random", "float32"), ("empty", "float16"), ("random", "bfloat16")])
def test_trainings_of_the_recipe(tiny: Tiny, size: int, start: str, precision: str) -> None:
    truth = Truth.read(manifest_folder("tiny"))
    for name in ("hardest", "random", "fne", "info-nce"):
        cell = config(method=name, memory=size, memory_start=start, memory_precision=precision)
        one, two = train(cell, tiny[1], truth), train(cell, tiny[1], truth)
        assert np.isfinite(one.history[-1]["loss"])
        assert all(
            torch.equal(weight, two.task.towers.state_dict()[key])
            for key, weight in one.task.towers.state_dict().items()
        )
        assert one.false_negative_rate == two.false_negative_rate


def test_random_vectors_are_choices_that_are_not_true(tiny: Tiny) -> None:
    """With nothing but random vectors beside the batch, the random sampler picks mostly these."""
    truth = Truth.read(manifest_folder("tiny"))
    rates = [
        train(config(method="random", memory=5000, epochs=2, memory_start=start), tiny[1], truth).false_negative_rate
        for start in ("empty", "random")
    ]
    assert rates[0]["both"] > 0.05
    for direction in ("i2t", "t2i"):
        assert rates[1][direction] < 0.02


def audit_of(i2t: list[Any], t2i: list[Any]) -> dict[str, float]:
    """Three anchors; candidate 3 is a random vector. Every caption is true of its own image and of image 0."""
    facts = np.array([[True, True, True], [False, True, False], [False, False, True]])
    audit = PickCount(Truth(facts, np.array([[0], [1], [2]], dtype=np.int32)))
    method = methods.get("hardest")()
    method.chosen = {"i2t": torch.tensor(i2t), "t2i": torch.tensor(t2i)}
    anchors = torch.arange(3)
    ids, captions = (torch.cat([anchors, torch.tensor([row])]) for row in (RANDOM_ID, RANDOM_CAPTION))
    audit.note(method, anchors, anchors, ids, captions)
    return audit.epoch()


def test_the_audit_judges_random_vectors() -> None:
    # i2t: caption 2 is true of image 0; image 1 took a random vector, image 2 nothing
    # t2i: caption 0 took a random vector, caption 1 image 0, caption 2 a random vector
    assert audit_of([2, 3, -1], [3, 0, 3]) == {"i2t": 1 / 2, "t2i": 1 / 3, "both": 2 / 5}
    assert audit_of([3, 3, 3], [3, 3, 3]) == {"i2t": 0, "t2i": 0, "both": 0}
    assert audit_of([-1, -1, -1], [-1, -1, -1]) == {}


def test_the_audit_judges_several_picks_per_anchor() -> None:
    # i2t: image 0 took captions 1 and 2, both true; image 1 caption 0 and a random vector; image 2 nothing
    # t2i: caption 0 image 1, not true; caption 1 images 0 and 2, the first true; caption 2 image 0, twice
    found = audit_of([[1, 2], [0, 3], [-1, -1]], [[-1, 1], [0, 2], [0, 0]])
    assert found == {"i2t": 2 / 4, "t2i": 3 / 5, "both": 5 / 9}
    assert audit_of([[2], [3], [-1]], [3, 0, 3]) == audit_of([2, 3, -1], [3, 0, 3])
