"""The fairness rules, the memory, the audit and the loop."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from audited import DIM, TEXTS, Tiny
from negbench import methods
from negbench.benchmark.audit.picks import PickCount
from negbench.benchmark.errors import BenchError, RunFailedError
from negbench.benchmark.evaluation.measures import measured
from negbench.benchmark.recipe.schema import Recipe, RunConfig
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.training import loop
from negbench.benchmark.training.extras import ExtrasOf, centred, other_captions
from negbench.benchmark.training.inputs import Batch, opened, towers_for
from negbench.benchmark.training.loop import Trained, train
from negbench.benchmark.training.memory import MomentumMemory
from negbench.benchmark.training.task import Task
from negbench.benchmark.training.trainer import Trainer
from negbench.methods.base import Method, View
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.store import FeatureStore, Split
from negbench.pipelines.truth import Truth
from small_towers import linear, read


def config(**changes: Any) -> RunConfig:
    plain: dict[str, Any] = {
        "method": "hardest",
        "dataset": "tiny",
        "encoder": "made+up",
        "epochs": 3,
        "batch": 16,
        "memory": 32,
        "dim": 8,
        "hidden": 16,
        "learning_rate": 0.01,
    }
    return RunConfig(**(plain | changes))


class Spy(Trainer):
    """Notes the batches it trains on and the weights it starts from."""

    seen: dict[str, tuple[list[list[int]], dict[str, Tensor]]]

    def __init__(self, config: RunConfig, task: Task) -> None:
        super().__init__(config, task)
        type(self).seen[f"{config.method} {config.seed}"] = ([], copy.deepcopy(task.towers.state_dict()))

    def step(self, batch: Batch) -> Tensor:
        self.seen[f"{self.config.method} {self.config.seed}"][0].append(batch.captions.tolist())
        return super().step(batch)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> type[Spy]:
    Spy.seen = {}
    monkeypatch.setattr(loop, "Trainer", Spy)
    return Spy


def same_weights(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_methods_see_the_same_batches_and_start_from_the_same_weights(tiny: Tiny, spy: type[Spy]) -> None:
    for name in methods.names():
        train(config(method=name), tiny[1], None, texts=TEXTS)
    train(config(seed=1), tiny[1], None)
    first_batches, first_weights = spy.seen["hardest 0"]
    assert len(first_batches) == 3 * (120 // 16)
    for name in methods.names():
        batches, weights = spy.seen[f"{name} 0"]
        assert batches == first_batches
        assert same_weights(weights, first_weights)
    other_batches, other_weights = spy.seen["hardest 1"]
    assert other_batches != first_batches
    assert not same_weights(other_weights, first_weights)


def test_the_test_split_stays_closed(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    plain = FeatureStore.split

    def watched(store: FeatureStore, split: str) -> Split:
        opened.append(split)
        return plain(store, split)

    monkeypatch.setattr(FeatureStore, "split", watched)
    train(config(), tiny[1], None)
    assert opened == ["train", "val"]


def test_warm_up_is_the_same_whatever_the_method(tiny: Tiny) -> None:
    rows = [train(config(method=name, epochs=2), tiny[1], None).history[0] for name in ("random", "fne")]
    assert rows[0]["loss"] == rows[1]["loss"]
    assert rows[0]["val_rsum"] == rows[1]["val_rsum"]


def test_best_epoch_is_chosen_by_validation_rsum(tiny: Tiny) -> None:
    trained = train(config(epochs=5), tiny[1], None)
    sums = [row["val_rsum"] for row in trained.history]
    assert trained.best_epoch == int(np.argmax(sums))
    validation = read(tiny[1], "val", config())
    assert measured(validation.gallery(trained.task.towers))[0] == trained.validation


def test_training_learns_and_repeats_bit_for_bit(tiny: Tiny) -> None:
    def once() -> Trained:
        return train(config(method="fne", epochs=4), tiny[1], Truth.read(manifest_folder("tiny")))

    one, two = once(), once()
    assert one.history[-1]["val_rsum"] > one.history[0]["val_rsum"] > 0
    assert same_weights(one.task.towers.state_dict(), two.task.towers.state_dict())
    timed = ("seconds", "pairs_per_s", "ms_")
    timeless = [
        [{k: v for k, v in row.items() if not k.startswith(timed)} for row in run.history] for run in (one, two)
    ]
    assert timeless[0] == timeless[1]
    assert one.false_negative_rate == two.false_negative_rate


@pytest.mark.parametrize("memory", [0, 16, 50])
def test_every_method_trains_with_and_without_memory(tiny: Tiny, memory: int) -> None:
    for name in methods.names():
        trained = train(config(method=name, memory=memory, epochs=2), tiny[1], None, texts=TEXTS)
        assert not trained.collapsed
        assert np.isfinite(trained.history[-1]["loss"])


class Broken(Method):
    """Its loss is no number, or pulls everything to one point."""

    collapse = False

    def view_loss(self, view: View) -> Tensor:
        if not self.collapse:
            return view.anchors.sum() * torch.nan
        return -view.anchors[:, 0].sum()


def test_a_loss_that_is_no_number_fails_the_run(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "get", lambda name: Broken)
    with pytest.raises(RunFailedError, match="the loss of epoch 0 is nan"):
        train(config(), tiny[1], None)


def test_a_collapse_is_told(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    class Collapsing(Broken):
        collapse = True

    monkeypatch.setattr(methods, "get", lambda name: Collapsing)
    trained = train(config(epochs=12, learning_rate=0.05), tiny[1], None)
    assert trained.collapsed


def test_too_few_captions_for_a_batch(tiny: Tiny) -> None:
    with pytest.raises(BenchError, match="batch: 128 is more than the 120 captions"):
        train(config(batch=128, memory=128), tiny[1], None)


def test_memory_is_a_queue_of_the_last_pairs() -> None:
    """Against a plain list, with a batch that does not divide the size."""
    model = linear(6, 5, Recipe(dim=4))
    memory = MomentumMemory(model, size=10, batch=4, dim=4, momentum=0.5)
    queued: list[int] = []
    for step in range(8):
        ids = torch.arange(4) + 4 * step
        image, text = memory.follow(model)(torch.randn(4, 6), torch.randn(4, 5))
        pool = memory.look(image, text, ids, ids * 10)
        assert pool.ids[:4].tolist() == ids.tolist()
        assert sorted(pool.ids[4:].tolist()) == sorted(queued)
        assert (memory.captions[: len(pool.ids)] == pool.ids * 10).all()
        assert torch.allclose(pool.image.norm(dim=1), torch.ones(len(pool.ids)))
        memory.keep()
        queued = (queued + ids.tolist())[-10:]


def test_momentum_towers_follow_slowly() -> None:
    model = linear(6, 5, Recipe(dim=4))
    memory = MomentumMemory(model, size=4, batch=4, dim=4, momentum=0.9)
    memory.follow(model)
    before = model.image.get_parameter("project.1.weight").detach().clone()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1)
    memory.follow(model)
    followed = dict(memory.model.named_parameters())["image.project.1.weight"]
    assert torch.allclose(followed, before + 0.1, atol=1e-6)


def test_audit_counts_true_pairs() -> None:
    """Against a loop over anchors."""
    truth = Truth(np.eye(3, dtype=bool)[[0, 0, 1, 2]], np.array([[0], [0], [1], [2]], dtype=np.int32))
    audit = PickCount(truth)
    method = methods.get("hardest")()
    method.chosen = {"i2t": torch.tensor([1, 0, 3, -1]), "t2i": torch.tensor([1, 2, 0, 2])}
    rows = torch.arange(4)
    audit.note(method, rows, rows, rows, rows)
    # i2t: caption 1 true of image 0, caption 0 true of image 1, caption 3 false of image 2, none for image 3
    # t2i: image 1 has caption 0, image 2 lacks 1, image 0 lacks 2, image 2 lacks 3
    assert audit.epoch() == {"i2t": 2 / 3, "t2i": 1 / 4, "both": 3 / 7}
    assert audit.epoch() == {}
    assert audit.overall() == {"i2t": 2 / 3, "t2i": 1 / 4, "both": 3 / 7}


def test_seeds_of_roles_differ_and_stay() -> None:
    assert seed_for(0, "weights") == seed_for(0, "weights")
    assert len({seed_for(root, role) for root in range(50) for role in ("weights", "batches", "negatives")}) == 150
    assert seed_for(1, "batches", 2) != seed_for(1, "batches", 3)


def test_other_captions_are_those_of_the_image_without_itself() -> None:
    caption_image = torch.tensor([0, 1, 0, 2, 0, 1])  # three, two and one
    others = other_captions(caption_image).tolist()
    assert [sorted(row) for row in others] == [[2, 4], [5, 5], [0, 4], [3, 3], [0, 2], [1, 1]]


@pytest.mark.parametrize("in_batch", [False, True])
def test_extras_are_of_the_candidates(tiny: Tiny, in_batch: bool) -> None:
    """Guide, captions and words of a step against a lookup one by one, in the manifest's rows."""
    made = towers_for(tiny[1], config())
    data = opened(tiny[1], "train", config(), made)
    losses = [methods.get(name)() for name in ("gist", "tags", "glofnd")]
    give = ExtrasOf(losses, data, made, TEXTS)
    captions = torch.tensor([5, 40, 7])
    pool = data.caption_rows[captions] if in_batch else data.caption_rows[torch.tensor([5, 40, 7, 0, 119])]
    pool = pool if in_batch else torch.cat([pool, torch.tensor([-1])])
    images = torch.zeros_like(pool)  # of no use to the guide
    guide = give(losses[0], captions, pool, images).guide
    assert guide is not None
    assert isinstance(data.images, Tensor)
    assert isinstance(data.captions, Tensor)
    image, text = (centred(features, features.mean(dim=0)) for features in (data.images, data.captions))
    rows = {int(row): place for place, row in enumerate(data.caption_rows)}
    for place, row in enumerate(pool.tolist()):
        here = rows.get(row)
        expected = torch.zeros(DIM) if here is None else text[here]
        torch.testing.assert_close(guide.text[place], expected)
        expected = torch.zeros(DIM) if here is None else image[data.caption_image[here]]
        torch.testing.assert_close(guide.image[place], expected)
    for place, caption in enumerate(captions.tolist()):
        first = caption // 3 * 3  # three captions per image, in order
        own = [caption, *(k for k in range(first, first + 3) if k != caption)]
        assert sorted(map(tuple, guide.support[place].tolist())) == sorted(map(tuple, text[own].tolist()))
        torch.testing.assert_close(guide.support[place, 0], text[caption])
    words = give(losses[1], captions, pool, images).words
    assert words is not None
    assert words.captions[0][0] == TEXTS.captions[int(data.caption_rows[5])]
    joint = words.encode(["one", "another"])
    assert joint.shape == (2, 8)
    assert joint.requires_grad
    numbers = give(losses[2], captions, pool, images).captions
    assert numbers is not None
    assert numbers.tolist() == data.caption_rows[captions].tolist()
    with pytest.raises(BenchError, match="needs the captions as text"):
        ExtrasOf(losses, data, made)


def test_with_all_true_pairs_as_positives_no_false_negative_is_chosen(tiny: Tiny) -> None:
    truth = Truth.read(manifest_folder("tiny"))
    for memory in (0, 50):
        for start in ("empty", "random"):
            plain = train(config(memory=memory, memory_start=start), tiny[1], truth)
            oracle = train(config(memory=memory, memory_start=start, positives="oracle"), tiny[1], truth)
            assert plain.false_negative_rate["both"] > 0
            assert oracle.false_negative_rate["both"] == 0
            above = train(config(memory=memory, memory_start=start, positives="oracle-above"), tiny[1], truth)
            assert 0 < above.false_negative_rate["both"] < plain.false_negative_rate["both"]
    with pytest.raises(BenchError, match="the truth of every pair is not known for 'tiny'; use labelled"):
        train(config(positives="oracle"), tiny[1], None)


def test_a_training_says_what_share_of_a_processor_it_had(tiny: Tiny) -> None:
    share = train(config(epochs=4), tiny[1], None).cpu_share
    assert share is not None
    assert 0 < share < 1.05
