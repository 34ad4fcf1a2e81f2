"""A task under its optimiser: steps of an epoch, the same for every method.

Batches depend on the seed alone.
"""

import math
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from negbench.benchmark.errors import RunFailedError
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.training import processes
from negbench.benchmark.training.inputs import Batch
from negbench.benchmark.training.phases import Phases
from negbench.benchmark.training.progress import Progress
from negbench.benchmark.training.task import Task
from negbench.benchmark.training.watcher import History, Watcher

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig


class Trainer:
    """A task under one optimiser and schedule."""

    def __init__(self, config: "RunConfig", task: Task) -> None:
        self.config, self.task, groups = config, task, task.groups()
        self.learnt = [weight for group in groups for weight in group.weights]
        self.rates = [group.rate for group in groups]
        self.optimizer = torch.optim.AdamW(
            [{"params": group.weights} for group in groups],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=torch.device(config.device).type != "meta",  # which only counts, and knows no fused step
        )
        self.scaler = torch.amp.GradScaler(torch.device(config.device).type, enabled=config.precision == "float16")
        self.of_towers = [weight for group in task.towers.groups() for weight in group.weights]
        self.phases = Phases(config.device)
        self.graph = compiled(task) if config.compile else None
        self.steps = len(task.data.captions) // config.batch
        self.losses = torch.zeros((), device=config.device)
        """Sum of the losses of this epoch so far."""

    def epoch(self, progress: Progress, watcher: Watcher, after_step: Callable[[], None]) -> History:
        """Train an epoch, or the rest of it."""
        task, method, epoch = self.task, self.task.at_work, progress.epoch
        if progress.step == 0:
            method.start_epoch()
            self.losses.zero_()
            progress.epoch_s = 0.0
        self.phases.start_epoch()
        began, before, ran = time.perf_counter(), progress.epoch_s, time.thread_time()
        learning_rate = rate_at(self.config, epoch * self.steps, self.steps)
        order = list(batches(self.config, epoch, len(task.data.captions)))[progress.step :]
        for number, batch in enumerate(self.timed(task.data.batches(order)), start=progress.step + 1):
            self.set_rate(epoch * self.steps + number - 1)
            loss = self.step(batch)
            self.losses += loss
            progress.step, progress.epoch_s = number, before + time.perf_counter() - began
            if self.losses.device.type == "cpu" and not self.losses.isfinite():
                break  # the weights are spoilt; elsewhere to look would wait for the device
            watcher.step(epoch, number, self.steps)
            self.sample(watcher, epoch * self.steps + number, loss)
            after_step()
        mean = float(self.losses) / self.steps  # waits for the device
        progress.epoch_s = before + time.perf_counter() - began
        if not task.in_warmup:
            progress.step_ms.append(progress.epoch_s * 1e3 / self.steps)
            if self.losses.device.type == "cpu":
                progress.cpu_share.append((time.thread_time() - ran) / (progress.epoch_s - before))
        if not math.isfinite(mean):
            raise RunFailedError(f"the loss of epoch {epoch} is {mean}")
        if self.scaler.is_enabled() and self.scaler.get_scale() < 1:
            raise RunFailedError(f"float16 overflows at every step of epoch {epoch}; use --set precision=bfloat16")
        return {
            "epoch": epoch,
            "loss": mean,
            "learning_rate": learning_rate,
            "seconds": progress.epoch_s,
            "pairs_per_s": self.steps * self.config.batch / progress.epoch_s,
            **self.phases.report(),
            **{f"false_negative_{name}": value for name, value in task.picks.epoch().items()},
            **{f"method_{name}": value for name, value in method.report().items()},
        }

    def sample(self, watcher: Watcher, step: int, loss: Tensor) -> None:
        """Tell of a step of the whole training, if it is one of those that are asked for."""
        if watcher.every and step % watcher.every == 0:
            watcher.sample(step, {"loss": float(loss), "learning_rate": rate_at(self.config, step - 1, self.steps)})

    def timed(self, of: Iterator[Batch]) -> Iterator[Batch]:
        """The batches, while what it takes to get them is measured in some."""
        for step in count():
            self.phases.begin(step)
            batch = next(of, None)
            if batch is None:
                return
            self.phases.end("data")
            yield batch

    def set_rate(self, step: int) -> None:
        """Of all groups, before a step of the whole training."""
        for group, factor in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate_at(self.config, step, self.steps) * factor

    def step(self, batch: Batch) -> Tensor:
        """One step on the pairs of a batch; returns the loss, detached."""
        buffers = dict(self.task.named_buffers()) if self.graph else {}
        loss = self.loss(batch)
        self.task.note(batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.scaler.scale(loss))
        put_back(self.task, buffers)
        processes.add_gradients(self.of_towers)
        self.phases.end("backward")
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.learnt, self.config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.task.after()
        self.phases.end("optimiser")
        return loss.detach()

    def loss(self, batch: Batch) -> Tensor:
        """Of a step; through the graph where it is compiled."""
        if self.graph is None or not self.task.steady:
            found: Tensor = self.task(batch, self.phases)
            return found
        found = self.graph(batch)
        self.phases.end("loss")
        return found


def compiled(task: Task) -> Callable[[Batch], Tensor]:
    """A task's loss as one graph; on a GPU it is recorded once and replayed."""
    torch.use_deterministic_algorithms(True)  # the compiler's own choices, too
    on_cpu = next(task.parameters()).device.type == "cpu"
    graph: Callable[[Batch], Tensor] = torch.compile(
        task.forward, fullgraph=True, dynamic=False, mode=None if on_cpu else "reduce-overhead"
    )
    return graph


@torch.no_grad()
def put_back(task: Task, buffers: dict[str, Tensor]) -> None:
    """Results that a graph put in the place of some buffers, into these: its next replay writes over its own memory.

    After the backward pass, which may read once more what the buffers were.
    """
    for name, before in buffers.items():
        owner, _, own = name.rpartition(".")
        part = task.get_submodule(owner)
        if (now := getattr(part, own)) is not before:
            before.copy_(now)
            setattr(part, own, before)


def rate_at(config: "RunConfig", step: int, steps: int) -> float:
    """The learning rate before a step of the whole training, of epochs of ``steps`` each."""
    rate, total = config.learning_rate, config.epochs * steps
    if step >= config.warmup_epochs * steps:  # the warm-up is the same for every method
        rate *= config.rate_factor
    if config.schedule == "cosine":
        rate *= (1 + math.cos(math.pi * step / total)) / 2
    else:
        every = math.ceil(config.decay_at * config.epochs)
        for epoch in config.decays or range(every, config.epochs, every):
            if step >= epoch * steps:
                rate *= 0.1
    rising = config.rise * total
    return rate * (step + 1) / rising if step + 1 < rising else rate


def batches(config: "RunConfig", epoch: int, captions: int) -> Iterator[Tensor]:
    """Caption rows ``[B]`` of each step: a permutation that depends on seed and epoch alone; the rest is dropped."""
    generator = torch.Generator().manual_seed(seed_for(config.seed, "batches", epoch))
    order = torch.randperm(captions, generator=generator)
    whole = captions // config.batch * config.batch
    yield from torch.split(order[:whole], config.batch)
