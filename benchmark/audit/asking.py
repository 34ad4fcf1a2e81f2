"""How a method meets a gallery: step by step as in training, but asked only.

Nothing is learnt: the features come from a trained model in evaluation, and it is always a copy of the method that is
asked, with the statistics that the method has.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from negbench.benchmark.evaluation.gallery import Gallery
from negbench.benchmark.recipe.seeds import seed_for
from negbench.methods.base import Extras, Memory, Method, View

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig

ExtrasMaker = Callable[[Method, Tensor, Tensor, Tensor], Extras]
"""What a method sees besides: of caption rows ``[B]`` and of the candidates' rows in the manifest, captions and images
``[N]`` each."""


class Shown(NamedTuple):
    """What a step shows to a method; the arguments of ``Method.loss`` and ``Method.look``, but for the generator."""

    image: Tensor
    text: Tensor
    ids: Tensor
    memory: Memory | None
    extras: Extras


def shown(
    method: Method, gallery: Gallery, extras_of: ExtrasMaker, pool: Tensor, anchors: int, from_memory: bool
) -> Shown:
    """The pairs of the caption rows ``pool [N]``, the first of which are the anchors, with gradient.

    ``from_memory``: all of them are candidates, without gradient; otherwise the anchors themselves.
    """
    owners, captions = gallery.caption_image[pool], pool[:anchors]
    ids = gallery.image_rows[owners]
    return Shown(
        image=gallery.images[owners[:anchors]].requires_grad_(),  # so that ``View.similarity`` has one
        text=gallery.captions[captions].requires_grad_(),
        ids=ids[:anchors],
        memory=Memory(gallery.images[owners], gallery.captions[pool], ids) if from_memory else None,
        extras=extras_of(method, captions, gallery.caption_rows[pool], ids),
    )


class Question:
    """One view, and the method to be asked about it."""

    def __init__(self, view: View, method: Method) -> None:
        self.view, self._method = view, method

    @property
    def method(self) -> Method:
        """A new copy each time: no answer depends on one that was given before."""
        return copy.deepcopy(self._method)


def questions(method: Method, seen: Shown, generator: torch.Generator) -> Iterator[Question]:
    """One per direction."""
    asked = copy.deepcopy(method)
    both = asked.look(seen.image, seen.text, seen.ids, seen.memory, generator, seen.extras)
    asked.load_state_dict(method.state_dict())  # what it saw at the beginning counts for nothing
    for view in both:
        yield Question(view, asked)


@dataclass(frozen=True)
class Examination:
    """A gallery as a training of its recipe would go through it."""

    gallery: Gallery
    extras_of: ExtrasMaker
    batch: int
    memory: int
    """Candidates besides the batch; 0 for none."""
    seed: int

    @classmethod
    def of(cls, config: "RunConfig", gallery: Gallery, extras_of: ExtrasMaker, role: str) -> "Examination":
        """As a cell says; random draws of their own per ``role``."""
        return cls(gallery, extras_of, config.batch, config.memory, seed_for(config.seed, "audit", role))

    def steps(self, method: Method, steps: int | None = None) -> Iterator[tuple[Question, Tensor, Tensor]]:
        """Both questions of each step, with the caption rows of anchors ``[B]`` and candidates ``[N]``.

        One pass over the captions in random order, or its first ``steps``. The memory holds the captions that follow
        in that order, as a queue would hold those that came before.
        """
        device, count = self.gallery.images.device, len(self.gallery.captions)
        stream = torch.Generator(device).manual_seed(self.seed)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed)).to(device)
        batch = min(self.batch, count)
        for number in range(count // batch if steps is None else min(steps, count // batch)):
            pool = order.roll(-number * batch)[: batch + self.memory]
            seen = shown(method, self.gallery, self.extras_of, pool, batch, from_memory=self.memory > 0)
            for question in questions(method, seen, stream):
                yield question, pool[:batch], pool
