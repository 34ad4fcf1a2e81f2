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
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from negbench.benchmark.audit.asking import Examination
from negbench.benchmark.audit.pushes import audit
from negbench.benchmark.errors import BenchError, RunFailedError, first_line, out_of_memory
from negbench.benchmark.evaluation.known_pairs import KnownPairs, exact
from negbench.benchmark.evaluation.measures import measured
from negbench.benchmark.evaluation.metrics import COLLAPSED
from negbench.benchmark.evaluation.similarities import Counts, histograms
from negbench.benchmark.models.heads import TwoHeads
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.training.extras import Texts
from negbench.benchmark.training.inputs import Batch, opened
from negbench.benchmark.training.task import Task
from negbench.benchmark.training.watcher import History, Watcher

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig
    from negbench.methods.base import Method
    from negbench.pipelines.store import FeatureStore
    from negbench.pipelines.truth import Truth

AUDIT_STEPS = 2
"""Steps in which the choices of an epoch are audited on the validation split."""


@dataclass
class Trained:
    """What a training leaves."""

    task: Task
    """Its towers have the weights of the best epoch, its method the state that the last epoch left."""
    start: TwoHeads | None
    """The towers as they were before the method's first epoch, after the warm-up; None where that never came."""
    best_epoch: int
    validation: dict[str, float]
    history: list[History]
    similarities: list[dict[str, Counts]]
    """Histograms of the validation split, one per epoch."""
    collapsed: bool
    """At the last epoch, positives were no more similar than other pairs."""
    step_ms: float
    false_negative_rate: dict[str, float]


def prepare(config: "RunConfig") -> None:
    """Set torch up so that the same cell gives the same digits, and every method the same dropout."""
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # saves a pass over each new tensor
    torch.manual_seed(seed_for(config.seed, "dropout"))


def train(
    config: "RunConfig",
    store: "FeatureStore",
    truth: "Truth | None",
    watcher: Watcher | None = None,
    texts: Texts | None = None,
) -> Trained:
    """Train a cell; ``RunFailedError`` when the loss is no longer a number. ``texts``: for methods that need them."""
    watcher = watcher or Watcher()
    prepare(config)
    data = opened(store, "train", config)
    validation = Validation(config, store, truth)
    if len(data.captions) < config.batch:
        raise BenchError(
            f"batch: {config.batch} is more than the {len(data.captions)} captions of the training split;"
            " use a smaller --batch"
        )
    task = Task(config, data, truth, texts)
    trainer = Trainer(config, task)
    best: dict[str, Any] = {"rsum": -1.0}
    history: list[History] = []
    similarities: list[dict[str, Counts]] = []
    start: TwoHeads | None = None
    for epoch in range(config.epochs):
        task.in_warmup = epoch < config.warmup_epochs
        if epoch == config.warmup_epochs:
            start = copy.deepcopy(task.towers)
        with failing(f"epoch {epoch}"):
            row = trainer.epoch(epoch, watcher)
        found, pushed, counts = validation.look(task, epoch)
        similarities.append(counts)
        row |= pushed | {f"val_{name}": value for name, value in found.items()}
        history.append(row)
        if found["rsum"] > best["rsum"]:
            weights = {name: value.clone() for name, value in task.towers.state_dict().items()}
            best = {"rsum": found["rsum"], "epoch": epoch, "weights": weights, "validation": found}
        watcher.epoch(row)
    task.towers.load_state_dict(best["weights"])
    last = history[-1]
    return Trained(
        task=task,
        start=start,
        best_epoch=best["epoch"],
        validation=best["validation"],
        history=history,
        similarities=similarities,
        collapsed=last["val_positive_similarity"] - last["val_mean_similarity"] < COLLAPSED,
        step_ms=statistics.median(trainer.step_ms),
        false_negative_rate=task.picks.overall(),
    )


class Validation:
    """The validation split, looked at after each epoch."""

    def __init__(self, config: "RunConfig", store: "FeatureStore", truth: "Truth | None") -> None:
        self.config, self.data = config, opened(store, "val", config)
        self.known_pairs = exact(truth, self.data.split.image_rows, self.data.split.caption_rows)

    def look(self, task: Task, epoch: int) -> tuple[dict[str, float], History, dict[str, Counts]]:
        """Metrics; shares of the push on false negatives, where they are known; histograms of similarities."""
        gallery = self.data.gallery(task.towers)
        found, _ = measured(gallery)
        examination = Examination.of(self.config, gallery, task.extras_of.of(self.data), f"epoch {epoch}")
        counts = histograms(gallery, self.config.batch, examination.seed, self.known_pairs)
        pushed: History = {}
        if not task.in_warmup and self.known_pairs is not None:
            with failing(f"the audit of epoch {epoch}"):
                pushed = pushed_shares(task.method, examination, self.known_pairs)
        return found, pushed, counts


def pushed_shares(method: "Method", examination: Examination, known_pairs: KnownPairs) -> History:
    """``val_pushed_i2t`` and ``val_pushed_t2i``, of a few steps on the validation split."""
    found = audit(method, examination, known_pairs, AUDIT_STEPS)
    shares = {f"val_pushed_{way}": one.pushed.shares("").get("") for way, one in found.items()}
    return {name: share for name, share in shares.items() if share is not None}


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Whatever a method, or torch, does wrong inside fails the run in one line."""
    try:
        yield
    except (RunFailedError, BenchError):
        raise
    except Exception as error:
        reason = out_of_memory(error) or f"{type(error).__name__}: {first_line(error)} (BENCH_DEBUG=1 shows where)"
        raise RunFailedError(f"{what} failed: {reason}") from error


class Trainer:
    """A task under one optimiser and schedule."""

    def __init__(self, config: "RunConfig", task: Task) -> None:
        self.config, self.task, self.learnt = config, task, task.learnt()
        self.optimizer = torch.optim.AdamW(self.learnt, lr=config.learning_rate, weight_decay=config.weight_decay)
        decay_epoch = math.ceil(config.decay_at * config.epochs)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=decay_epoch, gamma=0.1)
        self.step_ms: list[float] = []
        """Mean step of each epoch after the warm-up, in milliseconds."""

    def epoch(self, epoch: int, watcher: Watcher) -> History:
        """Train one epoch."""
        start, task, method = time.perf_counter(), self.task, self.task.at_work
        method.start_epoch()
        learning_rate = self.optimizer.param_groups[0]["lr"]
        losses = torch.zeros((), device=self.config.device)
        captions = len(task.data.captions)
        steps = captions // self.config.batch
        order = batches(self.config, epoch, captions)
        for number, batch in enumerate(task.data.batches(order), start=1):
            losses += self.step(batch)
            if losses.device.type == "cpu" and not losses.isfinite():
                break  # the weights are spoilt; elsewhere to look would wait for the device
            watcher.step(epoch, number, steps)
        loss = float(losses) / steps  # waits for the device
        if not task.in_warmup:
            self.step_ms.append((time.perf_counter() - start) * 1e3 / steps)
        self.schedule.step()
        if not math.isfinite(loss):
            raise RunFailedError(f"the loss of epoch {epoch} is {loss}")
        return {
            "epoch": epoch,
            "loss": loss,
            "learning_rate": learning_rate,
            "seconds": time.perf_counter() - start,
            **{f"false_negative_{name}": value for name, value in task.picks.epoch().items()},
            **{f"method_{name}": value for name, value in method.report().items()},
        }

    def step(self, batch: Batch) -> Tensor:
        """One step on the pairs of a batch; returns the loss, detached."""
        loss: Tensor = self.task(batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.learnt, self.config.clip)
        self.optimizer.step()
        self.task.after()
        return loss.detach()


def batches(config: "RunConfig", epoch: int, captions: int) -> Iterator[Tensor]:
    """Caption rows ``[B]`` of each step: a permutation that depends on seed and epoch alone; the rest is dropped."""
    generator = torch.Generator().manual_seed(seed_for(config.seed, "batches", epoch))
    order = torch.randperm(captions, generator=generator)
    whole = captions // config.batch * config.batch
    yield from torch.split(order[:whole], config.batch)
