"""The training loop, the same for every method.

Batches and initial weights depend on the seed alone; the best epoch is chosen by validation rSum; the test
split is not touched here.
"""

import copy
import math
import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from negbench import methods
from negbench.benchmark.audit.picks import Audit
from negbench.benchmark.audit.pushes import Gallery, audit
from negbench.benchmark.errors import BenchError, RunFailedError, first_line, out_of_memory
from negbench.benchmark.evaluation.known_pairs import Exact, Relation
from negbench.benchmark.evaluation.metrics import COLLAPSED, metrics
from negbench.benchmark.evaluation.ranks import Ranks, ranks
from negbench.benchmark.evaluation.similarities import Counts
from negbench.benchmark.models.heads import TwoHeads, make
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.training.extras import ExtrasOf, Texts
from negbench.benchmark.training.memory import MomentumMemory
from negbench.methods.base import Method
from negbench.pipelines.rows import Rows, ahead
from negbench.pipelines.store import FeatureStore, Split
from negbench.pipelines.truth import Truth

ENCODE_ROWS = 8192
"""Vectors or steps encoded at once."""
HELD = 2**30
"""Bytes of a split's features, as float32, up to which they are held in memory."""
AUDIT_STEPS = 2
"""Steps in which the choices of an epoch are audited on the validation split."""

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


class FromFile:
    """Features of a split that is too large for memory: like a tensor when indexed, but each time read anew."""

    def __init__(self, rows: Rows, device: str) -> None:
        self.rows, self.device = rows, device
        self.shape = rows.shape

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        found = self.rows[rows if isinstance(rows, slice) else rows.cpu().numpy()]
        return torch.from_numpy(found).to(self.device)


@dataclass(frozen=True)
class Batch:
    """What a step trains on."""

    captions: Tensor
    """``[B]``: rows of the split."""
    images: Tensor
    """``[B]``: rows of the split."""
    image: Tensor
    """``[B, D_image]`` or ``[B, L, D_image]``: features."""
    text: Tensor
    """``[B, D_text]`` or ``[B, L, D_text]``"""


class SplitTensors:
    """A split on the training's device: its numbers, and its features where they are small enough to be held.

    ``images`` and ``captions`` are what the model looks at, the ``sequences`` where there are some. Features of more
    than ``HELD`` bytes stay in their files and are read batch by batch. The numbers are the same either way.
    """

    def __init__(self, split: Split, device: str, sequences: dict[str, Rows] | None = None) -> None:
        files = {"images": split.images, "captions": split.captions} | (sequences or {})
        held = sum(rows.nbytes for rows in files.values()) <= HELD
        tensors = {name: tensor(rows, device) if held else FromFile(rows, device) for name, rows in files.items()}
        self.images, self.captions = tensors["images"], tensors["captions"]
        self.caption_image = torch.tensor(split.caption_image, device=device)
        self.image_rows = torch.tensor(split.image_rows, device=device)
        self.caption_rows = torch.tensor(split.caption_rows, device=device)
        self.split, self.device = split, device

    def frozen(self) -> tuple[Tensor, Tensor]:
        """Features of all images and captions as vectors, held in memory whatever their size."""
        return tensor(self.split.images, self.device), tensor(self.split.captions, self.device)

    def batches(self, captions: Iterable[Tensor]) -> Iterator[Batch]:
        """The batches of these caption rows, in their order; features in files are read ahead."""
        if isinstance(self.images, FromFile) and isinstance(self.captions, FromFile):
            yield from self.read(self.images.rows, self.captions.rows, list(captions))
            return
        for rows in captions:
            here = rows.to(self.device)
            images = self.caption_image[here]
            yield Batch(here, images, self.images[images], self.captions[here])

    def read(self, image_file: Rows, caption_file: Rows, captions: list[Tensor]) -> Iterator[Batch]:
        """``batches`` of features in files."""
        images = [torch.from_numpy(self.split.caption_image[rows.numpy()]) for rows in captions]
        wanted = [(image.numpy(), caption.numpy()) for image, caption in zip(images, captions, strict=True)]
        found = ahead([image_file, caption_file], wanted)
        for rows, image_rows, features in zip(captions, images, found, strict=True):
            each = (rows, image_rows, *map(torch.from_numpy, features))
            yield Batch(*(part.to(self.device) for part in each))

    @torch.no_grad()
    def encode(self, model: TwoHeads) -> tuple[Tensor, Tensor]:
        """All images ``[I, dim]`` and captions ``[C, dim]``, without dropout."""
        model.eval()
        images = torch.cat([model.image(rows) for rows in parts(self.images)])
        captions = torch.cat([model.text(rows) for rows in parts(self.captions)])
        model.train()
        return images, captions


def opened(store: FeatureStore, split: str, config: RunConfig) -> SplitTensors:
    """A split as the model of a cell reads it; ``BenchError`` where its head needs sequences in vain."""
    if config.head != "attention":
        return SplitTensors(store.split(split), config.device)
    sequences = store.sequences(split)
    if not sequences:
        raise BenchError(
            f"head: attention needs regions or tokens, and {store.folder} has none; use linear, or features such as"
            " [n, 36, 2048] files or the encoder minilm-tokens"
        )
    return SplitTensors(store.split(split), config.device, sequences)


def tensor(rows: Rows, device: str) -> Tensor:
    """All rows of a file."""
    return torch.from_numpy(np.asarray(rows)).to(device)


def parts(features: Tensor | FromFile) -> Iterator[Tensor]:
    """All rows in order, some at a time."""
    steps = features.shape[1] if len(features.shape) == 3 else 1
    rows = max(1, ENCODE_ROWS // steps)
    for start in range(0, len(features), rows):
        yield features[start : start + rows]


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
    data = opened(store, "train", config)
    validation = opened(store, "val", config)
    if len(data.captions) < config.batch:
        raise BenchError(
            f"batch: {config.batch} is more than the {len(data.captions)} captions of the training split;"
            " use a smaller --batch"
        )
    model = make(data.images.shape[-1], data.captions.shape[-1], config, config.seed).to(config.device)
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
        known = truth if config.positives == "oracle" else None
        self.extras_of = ExtrasOf(losses, data, model, texts, known, config.guide)
        self.step_ms: list[float] = []
        """Mean step of each epoch after the warm-up, in milliseconds."""

    def epoch(self, epoch: int, method: Method, in_batch: bool, watcher: Watcher) -> History:
        """Train one epoch; ``in_batch`` keeps the memory from the method, but goes on filling it."""
        start = time.perf_counter()
        method.start_epoch()
        learning_rate = self.optimizer.param_groups[0]["lr"]
        losses = torch.zeros((), device=self.config.device)
        steps = len(self.data.captions) // self.config.batch
        order = batches(self.config, epoch, len(self.data.captions))
        for number, batch in enumerate(self.data.batches(order), start=1):
            losses += self.step(method, batch, in_batch)
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

    def step(self, method: Method, batch: Batch, in_batch: bool) -> Tensor:
        """One step on the pairs of a batch; returns the loss, detached."""
        data, memory = self.data, self.memory
        ids, rows = data.image_rows[batch.images], data.caption_rows[batch.captions]
        image, text = self.model(batch.image, batch.text)
        pool, pool_ids, pool_rows = None, ids, rows
        if memory is not None:
            seen = memory.look(self.model, batch.image, batch.text, ids, rows)
            if not in_batch:
                pool, pool_ids, pool_rows = seen, seen.ids, memory.captions[: len(seen.ids)]
        extras = self.extras_of(method, batch.captions, pool_rows, pool_ids)
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
