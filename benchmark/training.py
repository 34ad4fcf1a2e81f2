"""The training loop, the same for every method.

Batches and initial weights depend on the seed alone; the best epoch is chosen by validation rSum; the test
split is not touched here.
"""

import copy
import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import methods
from benchmark.config import RunConfig
from benchmark.errors import BenchError, RunFailedError
from benchmark.evaluation.audit import Audit
from benchmark.evaluation.metrics import metrics
from benchmark.evaluation.pushes import Gallery, audit
from benchmark.evaluation.ranks import Ranks, ranks
from benchmark.evaluation.relation import Exact, Relation
from benchmark.evaluation.similarities import Counts
from benchmark.extras import ExtrasOf, Texts
from benchmark.memory import MomentumMemory
from benchmark.models.heads import TwoHeads, make
from benchmark.seeds import seed_for
from methods.base import Method
from pipelines.store import FeatureStore, Split
from pipelines.truth import Truth

ENCODE_ROWS = 8192
AUDIT_STEPS = 2
"""Steps in which the choices of an epoch are audited on the validation split."""
COLLAPSED = 0.02
"""A model whose positives are no more than this above the average pair has collapsed."""

History = dict[str, float]


class Watcher:
    """What a training tells while it runs. Override what is of interest."""

    def step(self, epoch: int, step: int, steps: int) -> None:
        """After a training step; steps count from 1, epochs from 0."""

    def epoch(self, row: History) -> None:
        """After an epoch and its validation; may raise to stop the training."""


@dataclass
class Trained:
    """What a training leaves."""

    model: TwoHeads
    """With the weights of the best epoch."""
    method: Method
    """As the last epoch left it."""
    extras_of: ExtrasOf
    """Of the training split and the model."""
    start: TwoHeads | None
    """The model as it was before the method's first epoch, after the warm-up; None where that never came."""
    best_epoch: int
    validation: dict[str, float]
    history: list[History]
    similarities: list[dict[str, Counts]]
    """Histograms of the validation split, one per epoch."""
    collapsed: bool
    """At the last epoch, positives were no more similar than other pairs."""
    step_ms: float
    false_negative_rate: dict[str, float]


class SplitTensors:
    """A split as tensors on the training's device."""

    def __init__(self, split: Split, device: str) -> None:
        self.images = torch.tensor(split.images, dtype=torch.float32, device=device)
        self.captions = torch.tensor(split.captions, dtype=torch.float32, device=device)
        self.caption_image = torch.tensor(split.caption_image, device=device)
        self.image_rows = torch.tensor(split.image_rows, device=device)
        self.caption_rows = torch.tensor(split.caption_rows, device=device)

    @torch.no_grad()
    def encode(self, model: TwoHeads) -> tuple[Tensor, Tensor]:
        """All images ``[I, dim]`` and captions ``[C, dim]``, without dropout."""
        model.eval()
        images = torch.cat([model.image(rows) for rows in torch.split(self.images, ENCODE_ROWS)])
        captions = torch.cat([model.text(rows) for rows in torch.split(self.captions, ENCODE_ROWS)])
        model.train()
        return images, captions


def evaluate(model: TwoHeads, split: SplitTensors) -> tuple[dict[str, float], Ranks]:
    """Metrics of a split, with ``positive_similarity`` and ``mean_similarity`` (of all pairs), and its ranks."""
    return measured(split, *split.encode(model))


def measured(split: SplitTensors, images: Tensor, captions: Tensor) -> tuple[dict[str, float], Ranks]:
    """The same of its images ``[I, dim]`` and captions ``[C, dim]``, encoded."""
    try:
        found = ranks(images, captions, split.caption_image)
    except ValueError as error:  # features that are not finite
        raise RunFailedError(f"cannot rank: {error}") from None
    row = metrics(found)
    row["positive_similarity"] = float((images[split.caption_image] * captions).sum(dim=1).mean())
    row["mean_similarity"] = float(images.mean(dim=0) @ captions.mean(dim=0))
    return row, found


def prepare(config: RunConfig) -> None:
    """Set torch up so that the same cell gives the same digits, and every method the same dropout."""
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # saves a pass over each new tensor
    torch.manual_seed(seed_for(config.seed, "dropout"))


def train(
    config: RunConfig,
    store: FeatureStore,
    truth: Truth | None,
    watcher: Watcher | None = None,
    texts: Texts | None = None,
) -> Trained:
    """Train a cell; ``RunFailedError`` when the loss is no longer a number. ``texts``: for methods that need them."""
    watcher = watcher or Watcher()
    prepare(config)
    data = SplitTensors(store.split("train"), config.device)
    validation = SplitTensors(store.split("val"), config.device)
    if len(data.captions) < config.batch:
        raise BenchError(f"batch: {config.batch} is more than the {len(data.captions)} captions of the training split")
    model = make(data.images.shape[1], data.captions.shape[1], config, config.seed).to(config.device)
    method = methods.get(config.method)(**config.settings).to(config.device)
    warmup = methods.get(config.warmup)().to(config.device)
    trainer = Trainer(config, data, model, [method, warmup], truth, texts)
    best: dict[str, Any] = {"rsum": -1.0}
    history: list[History] = []
    similarities: list[dict[str, Counts]] = []
    start: TwoHeads | None = None
    extras_of, relation = trainer.extras_of.of(validation), exact(validation, truth)
    for epoch in range(config.epochs):
        warm = epoch < config.warmup_epochs
        if epoch == config.warmup_epochs:
            start = copy.deepcopy(model)
        with failing(f"epoch {epoch}"):
            row = trainer.epoch(epoch, warmup if warm else method, warm, watcher)
        gallery = Gallery.of(config, extras_of, f"epoch {epoch}")
        found, _ = measured(validation, gallery.images, gallery.captions)
        similarities.append(gallery.histograms(relation))
        if not warm and relation is not None:
            with failing(f"the audit of epoch {epoch}"):
                row |= pushed_shares(method, gallery, relation)
        row |= {f"val_{name}": value for name, value in found.items()}
        history.append(row)
        if found["rsum"] > best["rsum"]:
            weights = {name: value.clone() for name, value in model.state_dict().items()}
            best = {"rsum": found["rsum"], "epoch": epoch, "weights": weights, "validation": found}
        watcher.epoch(row)
    model.load_state_dict(best["weights"])
    last = history[-1]
    return Trained(
        model=model,
        method=method,
        extras_of=trainer.extras_of,
        start=start,
        best_epoch=best["epoch"],
        validation=best["validation"],
        history=history,
        similarities=similarities,
        collapsed=last["val_positive_similarity"] - last["val_mean_similarity"] < COLLAPSED,
        step_ms=statistics.median(trainer.step_ms),
        false_negative_rate=trainer.audit.overall(),
    )


def exact(split: SplitTensors, truth: Truth | None) -> Relation | None:
    """The truth of a split's pairs, where it is known."""
    return None if truth is None else Exact(truth, split.image_rows.cpu().numpy(), split.caption_rows.cpu().numpy())


def pushed_shares(method: Method, gallery: Gallery, relation: Relation) -> History:
    """``val_pushed_i2t`` and ``val_pushed_t2i``, of a few steps on the validation split."""
    found = audit(method, gallery, relation, AUDIT_STEPS)
    shares = {f"val_pushed_{direction}": one.shares("").get("") for direction, one in found.items()}
    return {name: share for name, share in shares.items() if share is not None}


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Whatever a method, or torch, does wrong inside fails the run in one line."""
    try:
        yield
    except (RunFailedError, BenchError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise RunFailedError(f"{what} failed: {reason} (BENCH_DEBUG=1 shows where)") from error


class Trainer:
    """One model under one optimiser and schedule."""

    def __init__(
        self,
        config: RunConfig,
        data: SplitTensors,
        model: TwoHeads,
        losses: list[Method],
        truth: Truth | None,
        texts: Texts | None = None,
    ) -> None:
        self.config, self.data, self.model = config, data, model
        self.learnt = [*model.parameters(), *(weight for loss in losses for weight in loss.parameters())]
        self.optimizer = torch.optim.AdamW(self.learnt, lr=config.learning_rate, weight_decay=config.weight_decay)
        decay_epoch = math.ceil(config.decay_at * config.epochs)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=decay_epoch, gamma=0.1)
        self.memory = memory_of(config, model) if config.memory else None
        self.generator = torch.Generator(config.device).manual_seed(seed_for(config.seed, "negatives"))
        self.audit = Audit(truth)
        if config.positives == "oracle" and truth is None:
            raise BenchError(f"positives: the truth of every pair is not known for '{config.dataset}'; use labelled")
        self.extras_of = ExtrasOf(losses, data, model, texts, truth if config.positives == "oracle" else None)
        self.step_ms: list[float] = []
        """Mean step of each epoch after the warm-up, in milliseconds."""

    def epoch(self, epoch: int, method: Method, in_batch: bool, watcher: Watcher) -> History:
        """Train one epoch; ``in_batch`` keeps the memory from the method, but goes on filling it."""
        start = time.perf_counter()
        method.start_epoch()
        learning_rate = self.optimizer.param_groups[0]["lr"]
        losses = torch.zeros((), device=self.config.device)
        steps = len(self.data.captions) // self.config.batch
        for number, captions in enumerate(batches(self.config, epoch, len(self.data.captions)), start=1):
            losses += self.step(method, captions.to(self.config.device), in_batch)
            if losses.device.type == "cpu" and not losses.isfinite():
                break  # the weights are spoilt; elsewhere to look would wait for the device
            watcher.step(epoch, number, steps)
        loss = float(losses) / steps  # waits for the device
        if not in_batch:
            self.step_ms.append((time.perf_counter() - start) * 1e3 / steps)
        self.schedule.step()
        if not math.isfinite(loss):
            raise RunFailedError(f"the loss of epoch {epoch} is {loss}")
        return {
            "epoch": epoch,
            "loss": loss,
            "learning_rate": learning_rate,
            "seconds": time.perf_counter() - start,
            **{f"false_negative_{name}": value for name, value in self.audit.epoch().items()},
            **{f"method_{name}": value for name, value in method.report().items()},
        }

    def step(self, method: Method, captions: Tensor, in_batch: bool) -> Tensor:
        """One step on the pairs of ``captions [B]`` (rows of the split); returns the loss, detached."""
        data, memory = self.data, self.memory
        images = data.caption_image[captions]
        ids, rows = data.image_rows[images], data.caption_rows[captions]
        image, text = self.model(data.images[images], data.captions[captions])
        pool, pool_ids, pool_rows = None, ids, rows
        if memory is not None:
            seen = memory.look(self.model, data.images[images], data.captions[captions], ids, rows)
            if not in_batch:
                pool, pool_ids, pool_rows = seen, seen.ids, memory.captions[: len(seen.ids)]
        extras = self.extras_of(method, captions, pool_rows, pool_ids)
        loss = method.loss(image, text, ids, pool, self.generator, extras)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.learnt, self.config.clip)
        self.optimizer.step()
        if not in_batch:
            self.audit.note(method, ids, rows, pool_ids, pool_rows)
        if memory is not None:
            memory.keep()
        return loss.detach()


def memory_of(config: RunConfig, model: TwoHeads) -> MomentumMemory:
    """The memory of a cell, as its recipe says."""
    return MomentumMemory(
        model,
        size=config.memory,
        batch=config.batch,
        dim=config.dim,
        momentum=config.momentum,
        start=config.memory_start,
        precision=config.memory_precision,
        seed=seed_for(config.seed, "memory"),
    )


def batches(config: RunConfig, epoch: int, captions: int) -> Iterator[Tensor]:
    """Caption rows ``[B]`` of each step: a permutation that depends on seed and epoch alone; the rest is dropped."""
    generator = torch.Generator().manual_seed(seed_for(config.seed, "batches", epoch))
    order = torch.randperm(captions, generator=generator)
    whole = captions // config.batch * config.batch
    yield from torch.split(order[:whole], config.batch)
