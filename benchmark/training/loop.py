"""The training loop, the same for every method.

Batches and initial weights depend on the seed alone; the best epoch is chosen by validation rSum; the test
split is not touched here.
"""

import copy
import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from negbench.benchmark.audit.asking import Examination
from negbench.benchmark.audit.pushes import audit
from negbench.benchmark.errors import BenchError, LostError, RunFailedError, first_line, out_of_memory
from negbench.benchmark.evaluation.known_pairs import KnownPairs, exact
from negbench.benchmark.evaluation.measures import measured
from negbench.benchmark.evaluation.metrics import COLLAPSED
from negbench.benchmark.evaluation.similarities import Counts, histograms
from negbench.benchmark.models.two_towers import TwoTowers
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.training import processes
from negbench.benchmark.training.checkpoint import Checkpoint
from negbench.benchmark.training.extras import Texts
from negbench.benchmark.training.inputs import opened, towers_for
from negbench.benchmark.training.progress import Progress
from negbench.benchmark.training.saving import Saving, Signals
from negbench.benchmark.training.task import Task
from negbench.benchmark.training.trainer import Trainer
from negbench.benchmark.training.watcher import History, Watcher
from negbench.pipelines.text import short

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
    start: TwoTowers | None
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
    cpu_share: float | None = None
    """Median over the epochs of ``Progress.cpu_share``; None on a GPU."""


def prepare(config: "RunConfig") -> None:
    """Set torch up so that the same cell gives the same digits, and every method the same dropout."""
    torch.set_num_threads(config.threads)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports compilers, which takes seconds
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # saves a pass over each new tensor
    torch.manual_seed(seed_for(config.seed, "dropout", *([processes.rank()] if processes.rank() else [])))


def train(
    config: "RunConfig",
    store: "FeatureStore",
    truth: "Truth | None",
    watcher: Watcher | None = None,
    texts: Texts | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train a cell, from its ``checkpoint`` on if it has one; ``RunFailedError`` when the loss is no longer a number.

    ``texts``: for methods that need them.
    """
    prepare(config)
    training = Training(config, store, truth, texts)
    if checkpoint is not None:
        checkpoint.resume(training)
    with Signals() as signals:
        training.run(watcher or Watcher(), Saving(training, checkpoint, signals))
    return training.trained()


class Training:
    """A task under one optimiser, from its first step to its last epoch: all that a checkpoint holds."""

    def __init__(
        self, config: "RunConfig", store: "FeatureStore", truth: "Truth | None", texts: Texts | None = None
    ) -> None:
        towers = towers_for(store, config)
        data = opened(store, "train", config, towers)
        self.config, self.validation = config, Validation(config, store, towers, truth)
        if len(data.captions) < config.batch:
            raise BenchError(
                f"batch: {config.batch} is more than the {len(data.captions)} captions of the training split;"
                " use a smaller --batch"
            )
        self.task = Task(config, towers, data, truth, texts)
        self.trainer = Trainer(config, self.task)
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        """Weights of the towers at the best epoch so far."""
        self.start: dict[str, Tensor] = {}
        """The same before the method's first epoch."""
        self.similarities: list[dict[str, Counts]] = []
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.perf_counter() - self._began

    def run(self, watcher: Watcher, saving: Saving) -> None:
        """Train what is left."""
        progress, config = self.progress, self.config
        while progress.epoch < config.epochs:
            epoch = progress.epoch
            self.task.in_warmup = epoch < config.warmup_epochs
            if epoch == config.warmup_epochs and progress.step == 0:
                self.start = copied(self.task.towers)
            with failing(f"epoch {epoch}"):
                row = self.trainer.epoch(progress, watcher, saving.after_step)
            found, pushed, counts = self.validation.look(self.task, epoch, watcher.said)
            row |= pushed | {f"val_{name}": value for name, value in found.items()}
            self.similarities.append(counts)
            if found["rsum"] > progress.validation.get("rsum", -1.0):
                progress.best_epoch, progress.validation, self.best = epoch, found, copied(self.task.towers)
            progress.history.append(row)
            progress.epoch, progress.step = epoch + 1, 0
            saving.after_epoch()
            watcher.epoch(row)

    def trained(self) -> Trained:
        """What there is at the end."""
        task, progress = self.task, self.progress
        start = copy.deepcopy(task.towers) if self.start else None
        if start is not None:
            start.load_state_dict(self.start)
        task.towers.load_state_dict(self.best)
        last = progress.history[-1]
        return Trained(
            task=task,
            start=start,
            best_epoch=progress.best_epoch,
            validation=progress.validation,
            history=progress.history,
            similarities=self.similarities,
            collapsed=last["val_positive_similarity"] - last["val_mean_similarity"] < COLLAPSED,
            step_ms=statistics.median(progress.step_ms),
            false_negative_rate=task.picks.overall(),
            cpu_share=statistics.median(progress.cpu_share) if progress.cpu_share else None,
        )

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that decide how it goes on."""
        optimizer = self.trainer.optimizer.state_dict()["state"]
        groups: dict[str, dict[str, Tensor]] = {
            "task": self.task.state_dict(),
            "best": self.best,
            "start": self.start,
            "picks": self.task.picks.state(),
            "optimizer": {f"{n}.{name}": value for n, state in optimizer.items() for name, value in state.items()},
            "scaler": {name: torch.tensor(value) for name, value in self.trainer.scaler.state_dict().items()},
            "similarities": {
                f"{epoch}.{place}.{kind}": torch.from_numpy(counts)
                for epoch, found in enumerate(self.similarities)
                for place, (kind, counts) in enumerate(found.items())
            },
            "random": {**self.own_random(), **random_states(self.config.device)},
        }
        flat = {f"{group}.{name}": value for group, content in groups.items() for name, value in content.items()}
        return {"losses": self.trainer.losses, **flat}

    def own_random(self) -> dict[str, Tensor]:
        """The stream of the negatives, where they have one."""
        return {"negatives": self.task.generator.get_state()} if self.task.generator else {}

    def restore(self, progress: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """The opposite."""

        def of(group: str) -> dict[str, Tensor]:
            start = f"{group}."
            return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}

        def on_device(group: str) -> dict[str, Tensor]:
            return {name: value.to(self.config.device) for name, value in of(group).items()}

        self.progress = Progress(**progress)
        self.trainer.losses.copy_(tensors["losses"])
        self.task.load_state_dict(of("task"))
        self.best, self.start = on_device("best"), on_device("start")
        self.task.picks.restore(on_device("picks"))
        optimizer = self.trainer.optimizer.state_dict()
        for name, value in of("optimizer").items():
            number, _, kind = name.partition(".")
            optimizer["state"].setdefault(int(number), {})[kind] = value
        self.trainer.optimizer.load_state_dict(optimizer)
        if scaler := of("scaler"):
            self.trainer.scaler.load_state_dict({name: value.item() for name, value in scaler.items()})
        self.similarities = [{} for _ in self.progress.history]
        for name, counts in sorted(of("similarities").items()):  # in the order in which they go into the record
            epoch, _, kind = name.split(".")
            self.similarities[int(epoch)][kind] = counts.numpy()
        if self.task.generator:
            self.task.generator.set_state(of("random")["negatives"])
        set_random_states(of("random"), self.config.device)


def random_states(device: str) -> dict[str, Tensor]:
    """Of torch's own streams, which dropout and augmentation draw from, in every process."""
    states = {f"cpu.{rank}": state for rank, state in enumerate(processes.each(torch.get_rng_state()))}
    if torch.device(device).type == "cuda":
        own = torch.cuda.get_rng_state(device)
        states |= {f"cuda.{rank}": state for rank, state in enumerate(processes.each(own))}
    return states


def set_random_states(states: dict[str, Tensor], device: str) -> None:
    """Those of this process."""
    torch.set_rng_state(states[f"cpu.{processes.rank()}"])
    if torch.device(device).type == "cuda":
        torch.cuda.set_rng_state(states[f"cuda.{processes.rank()}"], device)


def copied(towers: TwoTowers) -> dict[str, Tensor]:
    """Weights as they are now."""
    return {name: value.clone() for name, value in towers.state_dict().items()}


class Validation:
    """The validation split, looked at after each epoch."""

    def __init__(self, config: "RunConfig", store: "FeatureStore", towers: TwoTowers, truth: "Truth | None") -> None:
        self.config, self.data = config, opened(store, "val", config, towers)
        self.known_pairs = exact(truth, self.data.split.image_rows, self.data.split.caption_rows)
        self._audit_failed = False

    def look(
        self, task: Task, epoch: int, said: Callable[[str], None] = lambda line: None
    ) -> tuple[dict[str, float], History, dict[str, Counts]]:
        """Metrics; shares of the push on false negatives, where they are known; histograms of similarities."""
        gallery = self.data.gallery(task.towers)
        found, _ = measured(gallery)
        examination = Examination.of(self.config, gallery, task.extras_of.of(self.data), f"epoch {epoch}")
        counts = histograms(gallery, self.config.batch, examination.seed, self.known_pairs)
        pushed: History = {}
        if not task.in_warmup and self.known_pairs is not None:
            with failing(f"the audit of epoch {epoch}"):
                pushed = self._pushed(task.method, examination, self.known_pairs, said)
        return found, pushed, counts

    def _pushed(
        self, method: "Method", examination: Examination, known_pairs: KnownPairs, said: Callable[[str], None]
    ) -> History:
        """``pushed_shares``, or nothing where that fails: it asks copies, so the training is as it was."""
        try:
            return pushed_shares(method, examination, known_pairs)
        except Exception as error:
            if isinstance(error, BenchError) or out_of_memory(error):
                raise
            if not self._audit_failed:
                reason = f"{type(error).__name__}: {first_line(error)}"
                said(f"the audit of the validation split failed, its figures are missing: {reason}")
            self._audit_failed = True
            return {}


def pushed_shares(method: "Method", examination: Examination, known_pairs: KnownPairs) -> History:
    """``val_pushed_i2t`` and ``val_pushed_t2i``, of a few steps on the validation split."""
    found = audit(method, examination, known_pairs, AUDIT_STEPS)
    shares = {f"val_pushed_{way}": one.pushed.shares("").get("") for way, one in found.items()}
    return {name: share for name, share in shares.items() if share is not None}


SPOILT = re.compile(r"(image|text): row \d+ holds NaN or infinity")
"""What a method says of vectors that it is given."""


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Whatever a method, or torch, does wrong inside fails the run in one line."""
    try:
        yield
    except (RunFailedError, BenchError):
        raise
    except Exception as error:
        memory = out_of_memory(error)
        if processes.count() > 1 and isinstance(error, RuntimeError) and not memory:
            lost = f"{what}: another process was lost; the same command goes on from the last checkpoint"
            raise LostError(f"{lost} (torch: {short(first_line(error))})") from error
        if isinstance(error, ValueError) and (spoilt := SPOILT.fullmatch(str(error))):
            vectors = f"its {spoilt[1]} vectors are no longer finite"
            raise RunFailedError(f"{what} failed: the model diverged: {vectors}; use a lower learning rate") from error
        reason = memory or f"{type(error).__name__}: {first_line(error)} (BENCH_DEBUG=1 shows where)"
        raise RunFailedError(f"{what} failed: {reason}") from error
