"""Whole models, tiny and random, from pixels and words to a record: every named recipe, every method."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from commands import bench
from negbench import methods
from negbench.benchmark.recipe import presets
from negbench.benchmark.recipe.flags import parse_changes, resolve
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.training.inputs import opened, towers_for
from negbench.benchmark.training.loop import prepare
from negbench.benchmark.training.task import Task
from negbench.benchmark.training.trainer import Trainer, batches
from negbench.pipelines import features, sources

pytest.importorskip("transformers", reason="extra [hf] is not installed")

from transformers import AutoModel, AutoTokenizer

from tiny_models import VISION, make_zoo

SMALL = ["epochs=2", "batch=32", "warmup_epochs=1", "memory=40", "checkpoint_minutes=60"]
TINY = {
    "fne": ["encoder=pixels:32+texts", "image_tower=hf:./zoo/vit", "text_tower=hf:./zoo/bert", "dim=16"],
    "clip": ["encoder=pixels:32+texts", "image_tower=hf:./zoo/clip", "text_tower=hf:./zoo/clip", "dim=12"],
    "vse-inf": ["text_tower=hf:./zoo/bert", "dim=16"],
    "vse-inf-gru": ["dim=16"],
    "offline": ["encoder=pixels:32+texts", "image_tower=hf:./zoo/dinov2", "text_tower=hf:./zoo/mpnet", "dim=16"],
    "pixels": ["encoder=pixels:32+texts", "image.width=8", "dim=16"],
    "heads": [],
}
"""Of each recipe what is made small, and models from the folder ``zoo`` in place of large ones."""
OF_TOWERS = {"fne": ["image.crop=0.5", "image.flip=true", "image.randaugment=2", "text.longest=10"]}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    make_zoo(root)
    return root


@pytest.fixture
def project(zoo: Path, small_project: Path) -> Path:
    """``small`` with the tiny models beside it, and a dataset ``regions`` of its captions with made-up regions."""
    (small_project / "zoo").symlink_to(zoo)
    return small_project


def regions(project: Path) -> None:
    lot = np.random.default_rng(0)
    raw = project / "raw_regions"
    raw.mkdir()
    for split, count in (("train", 60), ("dev", 20), ("test", 20)):
        np.save(raw / f"{split}_ims.npy", lot.normal(size=(count, 5, 12)).astype(np.float32))
        words = ["a red dog", "two cats", "the blue ball", "snow", "a man"]
        lines = [f"{words[k]} {image % 7}" for image in range(count) for k in range(5)]
        (raw / f"{split}_caps.txt").write_text("\n".join(lines) + "\n")
    done = bench("data", "add", "regions", "--from", str(raw), "--format", "precomp")
    assert done.exit_code == 0, done.output


def sets(words: list[str]) -> list[str]:
    return [part for word in words for part in ("--set", word)]


@pytest.mark.parametrize("method", ["hardest", "fne", "info-nce"])
@pytest.mark.parametrize("recipe", presets.names())
def test_every_recipe_trains(recipe: str, method: str, project: Path) -> None:
    dataset = "small"
    if "precomputed" in str(presets.load(recipe).get("encoder")):
        regions(project)
        dataset = "regions"
    words = [*SMALL, *TINY[recipe], *OF_TOWERS.get(recipe, []), "hidden=8"]
    done = bench("run", "--recipe", recipe, "--method", method, "--dataset", dataset, *sets(words), "--out", "run")
    assert done.exit_code == 0, done.output
    record = json.loads(Path("run/run.json").read_text())
    assert record["config"]["preset"] == recipe
    assert 0 < record["metrics"]["rsum"] <= 600


@pytest.mark.parametrize("method", methods.names())
def test_every_method_trains_whole_models(method: str, project: Path) -> None:
    guide = ["guide_encoder=hog+ngrams"] if "guide" in methods.get(method).needs else []
    words = [*SMALL, *TINY["fne"], *guide]
    done = bench("run", "--recipe", "fne", "--method", method, "--dataset", "small", *sets(words), "--out", "run")
    assert done.exit_code == 0, done.output
    assert json.loads(Path("run/run.json").read_text())["status"] in ("done", "collapsed")


def test_a_guide_needs_vectors_from_somewhere(project: Path) -> None:
    words = [*SMALL, *TINY["fne"]]
    done = bench("run", "--recipe", "fne", "--method", "gist", "--dataset", "small", *sets(words), "--out", "run")
    assert done.exit_code == 2
    assert "--set guide_encoder=hog+ngrams" in done.stderr
    assert not Path("run").exists()


# --- FNE by hand ---------------------------------------------------------------------------------------------------

BATCH, QUEUE, STEPS = 8, 24, 20
COUNT, FAST = 2, 1e-3
"""Pairs seen before the posterior is used, and a rate at which some pairs come to rank first within few steps."""
TAU, PRIOR, THRESHOLD, MARGIN, MOMENTUM, RATE, CLIP = 0.5, 10_000, 0.001, 0.2, 0.995, 2e-5, 2.0


Picks = dict[str, list[int]]


class ByHand:
    """The algorithm of the paper's code (reference: its formulas alone), for tiny models, as plain as it can be."""

    def __init__(self, zoo: Path, generator: torch.Generator, queue: tuple[Tensor, Tensor]) -> None:
        self.vit = AutoModel.from_pretrained(zoo / "vit").train()
        self.bert = AutoModel.from_pretrained(zoo / "bert").train()
        self.words = AutoTokenizer.from_pretrained(zoo / "bert")
        self.slow_vit, self.slow_bert = copy.deepcopy(self.vit).eval(), copy.deepcopy(self.bert).eval()
        self.weights = [*self.vit.parameters(), *self.bert.parameters()]
        self.optimizer = torch.optim.Adam(self.weights, lr=FAST)
        self.generator = generator
        self.image, self.text = (each.clone() for each in queue)
        self.ids = torch.full((QUEUE,), -100)
        self.next, self.updates = 0, 0
        self.start_epoch()

    def start_epoch(self) -> None:
        self.positives: list[float] = []
        self.negatives: list[float] = []

    def encode(self, vit: nn.Module, bert: nn.Module, pixels: Tensor, captions: list[str]) -> tuple[Tensor, Tensor]:
        images = vit(pixel_values=(pixels.float() / 255 - self.mean) / self.std).last_hidden_state.mean(1)
        tokens = self.words(captions, padding=True, truncation=True, return_tensors="pt")
        real = tokens["attention_mask"][..., None]
        hidden = bert(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
        return normalize(images, dim=1), normalize((hidden * real).sum(1) / real.sum(1), dim=1)

    mean = torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    std = torch.tensor([0.4, 0.5, 0.6])[:, None, None]

    def follow(self) -> None:
        for slow, fast in ((self.slow_vit, self.vit), (self.slow_bert, self.bert)):
            for one, other in zip(slow.parameters(), fast.parameters(), strict=True):
                with torch.no_grad():
                    one.copy_(other if self.updates == 0 else MOMENTUM * one + (1 - MOMENTUM) * other)
        self.updates += 1

    def step(
        self, pixels: Tensor, captions: list[str], ids: Tensor, warmup: bool
    ) -> tuple[float, dict[str, list[int]]]:
        image, text = self.encode(self.vit, self.bert, pixels, captions)
        self.follow()
        with torch.no_grad():
            slow_image, slow_text = self.encode(self.slow_vit, self.slow_bert, pixels, captions)
        picks: Picks = {}
        if warmup:
            loss = self.hardest(image, text, ids)
        else:
            self.observe((image @ text.T).detach(), ids)
            every = torch.cat([ids, self.ids])
            pools = torch.cat([slow_text, self.text]), torch.cat([slow_image, self.image])
            loss = torch.zeros(())
            for way, anchors, pool in zip(("i2t", "t2i"), (image, text), pools, strict=True):
                cost, picks[way] = self.direction(anchors, pool, ids, every)
                loss = loss + cost
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.weights, CLIP)
        self.optimizer.step()
        places = [(self.next + k) % QUEUE for k in range(BATCH)]
        self.image[places], self.text[places], self.ids[places] = slow_image, slow_text, ids
        self.next = (self.next + BATCH) % QUEUE
        return float(loss.detach()), picks

    def hardest(self, image: Tensor, text: Tensor, ids: Tensor) -> Tensor:
        scores = image @ text.T
        other = scores.masked_fill(ids[:, None] == ids[None, :], -torch.inf)
        costs = [(MARGIN + other.amax(dim) - scores.diagonal()).clamp_min(0).mean() for dim in (1, 0)]
        return costs[0] + costs[1]

    def observe(self, scores: Tensor, ids: Tensor) -> None:
        for i in range(BATCH):
            row = [float(scores[i, j]) for j in range(BATCH) if ids[j] != ids[i]]
            column = [float(scores[j, i]) for j in range(BATCH) if ids[j] != ids[i]]
            if float(scores[i, i]) > max(row) and float(scores[i, i]) > max(column):
                self.positives.append(float(scores[i, i]))
                self.negatives += [max(row), max(column)]

    def direction(self, anchors: Tensor, pool: Tensor, ids: Tensor, every: Tensor) -> tuple[Tensor, list[int]]:
        scores = anchors @ pool.T
        clocks = torch.empty(BATCH, 1, 1).exponential_(generator=self.generator)  # of the one block, as the suite draws
        clocks = torch.empty(BATCH, 1, len(pool)).exponential_(generator=self.generator)[:, 0]
        picks, costs = [], []
        for i in range(BATCH):
            own, row = float(scores[i, i].detach()), scores[i].detach().double()
            weights = torch.exp(-TAU * (row - own) ** 2)
            if len(self.positives) > COUNT:
                up, down = (np.array(values) for values in (self.positives, self.negatives))
                normal = [log_density(row, x) for x in (up, down)]
                posterior = torch.sigmoid(normal[0] - normal[1] - np.log(PRIOR - 1))
                weights = torch.where(posterior > THRESHOLD, torch.exp(-TAU * posterior), weights)
            if self.positives:
                weights[row <= np.mean(self.positives) - MARGIN] = 0
            weights[every == ids[i]] = 0
            if weights.any():
                pick = int((weights / clocks[i].double()).argmax())
            else:
                pick = int(row.masked_fill(every == ids[i], -torch.inf).argmax())
            picks.append(pick)
            costs.append((MARGIN + scores[i, pick] - scores[i, i]).clamp_min(0))
        return torch.stack(costs).mean(), picks


def log_density(values: Tensor, seen: NDArray[np.float64]) -> Tensor:
    """Of a normal distribution, but for what is the same of all."""
    mean, std = float(seen.mean()), float(seen.std(ddof=1))
    return -(((values - mean) / std) ** 2) / 2 - float(np.log(std))


def test_the_fne_recipe_is_the_paper_s_algorithm_step_by_step(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss, and the chosen negatives, of a loop that was written by itself; with the dropout of the models."""
    encoder = "pixels:32+texts"
    _, store = features.ensure("small", encoder)
    changes = parse_changes([*TINY["fne"], f"batch={BATCH}", f"memory={QUEUE}", "image.crop=1", "image.flip=false"])
    changes |= {"image.randaugment": 0, "epochs": 2, "minimum_count": COUNT, "learning_rate": FAST}
    config = resolve({"preset": "fne", "method": "fne", "dataset": "small"}, changes)
    prepare(config)
    towers = towers_for(store, config)
    task = Task(config, towers, opened(store, "train", config, towers))
    trainer = Trainer(config, task)
    assert task.memory is not None
    assert task.generator is not None
    generator = torch.Generator()
    generator.set_state(task.generator.get_state())
    queue = task.memory.image[BATCH:], task.memory.text[BATCH:]
    by_hand = ByHand(Path("zoo"), generator, queue)
    state = torch.get_rng_state()

    order = torch.cat(list(batches(config, 0, len(task.data.captions)))).split(BATCH)[:STEPS]  # type: ignore[no-untyped-call]
    losses, chosen = [], []
    for number, batch in enumerate(task.data.batches(order)):
        task.in_warmup = number < 5
        if number == 5:
            task.method.start_epoch()
        trainer.set_rate(number)
        losses.append(float(trainer.step(batch)))
        chosen.append({way: index.tolist() for way, index in task.method.chosen.items()} if number >= 5 else {})

    torch.set_rng_state(state)
    split, texts = store.split("train"), store.texts("train")
    for number, rows in enumerate(order):
        owners = split.caption_image[rows.numpy()]
        pixels = torch.from_numpy(np.asarray(split.images)[owners])
        ids = torch.from_numpy(split.image_rows[owners])
        loss, picks = by_hand.step(pixels, [texts[row] for row in rows.tolist()], ids, warmup=number < 5)
        assert losses[number] == pytest.approx(loss, abs=1e-5), number
        assert chosen[number] == picks, number
    assert len(by_hand.positives) > COUNT  # so that false negatives were weighed


def test_the_numbers_of_the_fne_recipe_are_the_paper_s_code_s() -> None:
    config = resolve({"preset": "fne", "method": "fne", "dataset": "f30k"}) if "f30k" in sources.names() else None
    keys = presets.load("fne")
    assert (keys["batch"], keys["memory"], keys["momentum"], keys["epochs"]) == (32, 8224, MOMENTUM, 25)
    assert (keys["learning_rate"], keys["weight_decay"], keys["clip"], keys["decays"]) == (RATE, 0, CLIP, [5, 15])
    assert (keys["warmup"], keys["warmup_epochs"], keys["memory_start"], keys["dim"]) == ("hardest", 1, "random", 768)
    assert config is None or config.preset == "fne"
    defaults = methods.get("fne").Settings()
    names = ("margin", "tau_close", "tau_false", "prior", "threshold", "cut_offset", "minimum_count")
    assert [getattr(defaults, name) for name in names] == [MARGIN, TAU, TAU, PRIOR, THRESHOLD, MARGIN, 200]
    assert VISION["image_size"] == 32
    assert seed_for(0, "negatives") >= 0
