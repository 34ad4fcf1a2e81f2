"""What is trained: towers, method, warm-up and memory as one module, from a batch to its loss."""

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from negbench import methods
from negbench.benchmark.audit.picks import PickCount
from negbench.benchmark.errors import BenchError
from negbench.benchmark.models.base import ParameterGroup, Tower
from negbench.benchmark.models.two_towers import TwoTowers
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.training import processes
from negbench.benchmark.training.extras import ExtrasOf, Texts
from negbench.benchmark.training.inputs import Batch, SplitTensors
from negbench.benchmark.training.memory import MomentumMemory
from negbench.benchmark.training.phases import Phases

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig
    from negbench.methods.base import Method
    from negbench.pipelines.truth import Truth


class Task(nn.Module):
    """The only thing that loop, checkpoints and whatever wraps a module see of a cell."""

    def __init__(
        self,
        config: "RunConfig",
        towers: TwoTowers,
        data: SplitTensors,
        truth: "Truth | None" = None,
        texts: Texts | None = None,
    ) -> None:
        """With ``towers`` before their training, on the training split ``data``. ``texts``: for methods that need them.

        ``BenchError`` where the recipe asks for a truth that is not known, or the method for texts in vain.
        """
        super().__init__()
        oracle, above = config.positives != "labelled", config.positives == "oracle-above"
        if oracle and truth is None:
            raise BenchError(f"positives: the truth of every pair is not known for '{config.dataset}'; use labelled")
        if config.compile and (why := cannot_be_compiled(config)):
            raise BenchError(f"compile: {why}; leave it false")
        self.towers = towers.to(config.device).train()  # a network from elsewhere comes in evaluation
        if (config.micro_batch or processes.count() > 1) and learns_norms(self.towers):
            raise BenchError(
                "norms: batch normalisation that learns sees the whole batch, which micro_batch and processes divide;"
                " leave norms as they are"
            )
        self.method: Method = methods.get(config.method)(**config.settings).to(config.device)
        self.warmup: Method = methods.get(config.warmup)().to(config.device)
        for loss in (self.method, self.warmup):
            loss.make_room(data.split.room)
        self.memory = memory_of(config, self.towers) if config.memory else None
        self.micro_batch = config.micro_batch
        self.autocast = None if config.precision == "float32" else getattr(torch, config.precision)
        self.in_warmup = False
        """Whether the warm-up trains, always in the batch; the memory goes on filling."""
        self.data, self.picks = data, PickCount(truth)
        known = truth if oracle else None
        self.extras_of = ExtrasOf([self.method, self.warmup], data, self.towers, texts, known, config.guide, above)
        self.generator: torch.Generator | None = None
        """Of the negatives; of a compiled step torch's own, as a graph takes no other."""
        if not config.compile:
            self.generator = torch.Generator(config.device).manual_seed(seed_for(config.seed, "negatives"))

    @property
    def at_work(self) -> "Method":
        """The method that trains now."""
        return self.warmup if self.in_warmup else self.method

    def groups(self) -> list[ParameterGroup]:
        """All that an optimiser moves, by rate."""
        own = [weight for part in (self.method, self.warmup) for weight in part.parameters()]
        return [*self.towers.groups(), *([ParameterGroup(own)] if own else [])]

    def forward(self, batch: Batch, phases: Phases | None = None) -> Tensor:
        """The loss of a step. Call ``after`` when its gradient was taken."""
        data, method = self.data, self.at_work
        ids, rows = data.image_rows[batch.images], data.caption_rows[batch.captions]
        seen_image, seen_text = self.towers.image.augmented(batch.image), self.towers.text.augmented(batch.text)
        image, text = self.encoded(self.towers, seen_image, seen_text)
        pool, pool_ids, pool_rows = None, ids, rows
        if self.memory is not None:
            with torch.no_grad():
                copies = self.encoded(self.memory.follow(self.towers), seen_image, seen_text)
            seen = self.memory.look(*copies, ids, rows)
            if not self.in_warmup:
                pool, pool_ids, pool_rows = seen, seen.ids, self.memory.captions[: len(seen.ids)]
        if phases:
            phases.end("towers")
        extras = self.extras_of(method, batch.captions, pool_rows, pool_ids)
        loss = method.loss(image, text, ids, pool, self.generator, extras)
        if phases:
            phases.end("loss")
        return loss

    def note(self, batch: Batch) -> None:
        """After the loss of a step, before ``after``: what the method chose is counted."""
        if self.in_warmup:
            return
        ids, rows = self.data.image_rows[batch.images], self.data.caption_rows[batch.captions]
        pool_ids, pool_rows = (ids, rows) if self.memory is None else self.memory.rows
        self.picks.note(self.method, ids, rows, pool_ids, pool_rows)

    @property
    def steady(self) -> bool:
        """Whether every step from now on has the shapes of the last one: a memory is filled first."""
        return self.memory is None or self.memory.filled == self.memory.size

    def encoded(self, towers: TwoTowers, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Both sides of a batch in the joint space, ``[B, dim]`` float32, as the execution says."""
        with torch.autocast(image.device.type, self.autocast) if self.autocast else nullcontext():
            found = in_parts(towers.image, image, self.micro_batch), in_parts(towers.text, text, self.micro_batch)
        return processes.whole(found[0].float()), processes.whole(found[1].float())

    def after(self) -> None:
        """The end of a step: the batch's pairs join the memory."""
        if self.memory is not None:
            self.memory.keep()


def cannot_be_compiled(config: "RunConfig") -> str:
    """What of a step is no operation of a graph; empty where all is."""
    if "words" in methods.get(config.method).needs:
        return f"{config.method} makes texts, which no graph does"
    if config.positives != "labelled":
        return f"positives={config.positives} looks the truth up at each step"
    return "several processes talk at each step" if processes.count() > 1 else ""


def learns_norms(towers: TwoTowers) -> bool:
    """Whether batch normalisation of towers in training takes its statistics from the batch."""
    norms = (part for part in towers.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm))
    return any(part.training for part in norms)


def in_parts(tower: Tower, items: Tensor, size: int) -> Tensor:
    """A batch through a tower, ``size`` items at a time; 0: at once.

    A part is computed once more in the backward pass, with the same dropout, so that only one part's activations are
    ever kept: the gradient of the whole batch in the room of a part. L. Gao et al. (2021), Scaling Deep Contrastive
    Learning Batch Size under Memory Limited Setup (GradCache).
    """
    if not size or size >= len(items):
        found: Tensor = tower(items)
        return found
    return torch.cat([checkpoint(tower, part, use_reentrant=False) for part in torch.split(items, size)])


def memory_of(config: "RunConfig", towers: TwoTowers) -> MomentumMemory:
    """The memory of a cell, as its recipe says."""
    return MomentumMemory(
        towers,
        size=config.memory,
        batch=config.batch,
        dim=config.dim,
        momentum=config.momentum,
        start=config.memory_start,
        precision=config.memory_precision,
        seed=seed_for(config.seed, "memory"),
    )
