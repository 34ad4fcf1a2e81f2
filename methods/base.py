"""The interface of a method: features of a batch in, a loss out.

A ``Sampler`` chooses one negative per anchor and trains on the triplet loss of the chosen pairs; it writes
``choose``. Any other ``Method`` writes ``view_loss``, what one direction costs; a ``Listwise`` one writes it as
``direction_loss`` of plain similarities. All see the same inputs, with or without a memory, and work in anybody's
trainer:

>>> import torch
>>> from negbench.methods import get
>>> sampler = get("hardest")()
>>> image = torch.nn.functional.normalize(torch.randn(8, 16), dim=1).requires_grad_()
>>> text = torch.nn.functional.normalize(torch.randn(8, 16), dim=1).requires_grad_()
>>> sampler.loss(image, text, ids=torch.arange(8)).backward()
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .interface.drawing import draw, largest, race
from .interface.inputs import NOTHING, Direction, Extras, Guide, Memory, Words, check, check_extras, check_kinds
from .interface.settings import Choice, Range, SettingError, Settings, setting
from .interface.view import ALIKE, Candidates, View, above_partner, joined, products, single, together, views

__all__ = [
    "ALIKE",
    "Candidates",
    "Choice",
    "Curves",
    "Direction",
    "Extras",
    "Guide",
    "Listwise",
    "Memory",
    "Method",
    "Range",
    "Sampler",
    "SettingError",
    "Settings",
    "TripletSettings",
    "View",
    "Words",
    "draw",
    "largest",
    "race",
    "setting",
    "views",
]


class Curves(NamedTuple):
    """Distributions that a method fits, and how it weighs candidates by them."""

    weight: Tensor
    """``[S]``: of a candidate, for an anchor whose positive has the mean similarity of the fitted positives."""
    posterior: Tensor
    """``[S]``: the probability of a match."""
    normals: dict[str, tuple[float, float]]
    """What was fitted, ``positives`` first, to mean and deviation."""
    fitted_to: str
    """Which pairs."""


def plain(device: str) -> AbstractContextManager[object]:
    """In the precision of what is given, whatever is around."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


class Method(nn.Module, ABC):
    """A way to train on a batch of pairs. State (statistics, learnt temperatures) lives in buffers and parameters."""

    Settings: ClassVar[type[Settings]] = Settings
    needs: ClassVar[tuple[Literal["captions", "guide", "words"], ...]] = ()
    """Which fields of ``Extras`` the method cannot do without."""
    settings: Any

    def __init__(self, **changes: Any) -> None:
        super().__init__()
        self.settings = self.Settings.of(changes)
        self.chosen: dict[Direction, Tensor] = {}
        """After ``loss``: per direction the index ``[B]`` (or ``[B, k]``) of the candidate each anchor was pushed
        from, -1 for none. Empty for methods that push from all candidates at once."""

    def loss(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,
        memory: Memory | None = None,
        generator: torch.Generator | None = None,
        extras: Extras | None = None,
    ) -> Tensor:
        """Scalar loss of a batch: both directions added. The same inside ``torch.autocast`` as outside.

        Args:
            image: ``[B, D]``, L2-normalised; any floating type.
            text: ``[B, D]``, the partners, likewise.
            ids: ``[B]`` image ids; equal ids are positives of each other and never pushed apart.
            memory: the candidates; the batch itself where not given. An anchor without a negative pays nothing
                in a triplet loss.
            generator: of all random draws, on the device of ``image``.
            extras: what the method ``needs``.

        Raises:
            ValueError: names the argument that does not fit. What is not finite is found on a CPU only: to look for
                it elsewhere would make every step wait for the device.
        """
        check_kinds(image, text, ids, memory, generator, extras)
        check(image, text, ids, memory, generator)
        extras = extras or NOTHING
        for need in self.needs:
            if getattr(extras, need) is None:
                raise ValueError(f"extras: {type(self).__name__} needs extras.{need}")
        check_extras(extras, len(ids), len(ids) if memory is None else len(memory.ids))
        with plain(image.device.type):
            return self.total_loss(*self.look(image, text, ids, memory, generator, extras))

    def look(
        self,
        image: Tensor,
        text: Tensor,
        ids: Tensor,
        memory: Memory | None = None,
        generator: torch.Generator | None = None,
        extras: Extras = NOTHING,
    ) -> tuple[View, View]:
        """Begin a step: both directions as the method sees them. Unlike ``loss`` it checks nothing."""
        self.begin(image, text, ids, extras)
        i2t, t2i = views(image, text, ids, memory, generator, extras)
        return i2t, t2i

    def total_loss(self, i2t: View, t2i: View) -> Tensor:
        """Scalar loss of all anchors of both directions."""
        return self.view_loss(i2t) + self.view_loss(t2i)

    @abstractmethod
    def view_loss(self, view: View) -> Tensor:
        """Scalar loss of one direction."""

    def begin(self, image: Tensor, text: Tensor, ids: Tensor, extras: Extras) -> None:
        """Called first in each step with the batch, ``[B, D]``, ``[B, D]``, ``[B]``."""

    def make_room(self, count: int) -> None:
        """Called before the first step, and before a state is loaded: all numbers of images and captions are below.

        For methods that keep something per anchor.
        """

    def start_epoch(self) -> None:
        """Called before each epoch; for methods whose statistics start anew."""

    def report(self) -> dict[str, float]:
        """What to note of the epoch that ended; the names become columns of the history."""
        return {}

    def suspicion(self, view: View) -> Tensor | None:
        """How much the method takes each candidate for a false negative: ``[B, N]`` in [0, 1], without gradient.

        A probability, a share or a mask, as it would count in the loss of this view; for the audit. None for
        methods that have no such idea. To be asked changes nothing of the method.
        """
        return None

    @torch.no_grad()
    def curves(self, reported: Mapping[str, float], similarity: Tensor) -> Curves | None:
        """What the method made of similarities ``[S]`` in an epoch, from what it ``report``ed of that; for pictures.

        It takes the place of the method's statistics. None for methods that fit no distributions, and for an epoch
        without any.
        """
        return None


@dataclass(frozen=True)
class TripletSettings(Settings):
    """Settings of every triplet loss."""

    margin: float = setting(0.2, "margin of the triplet loss", low=0.0, high=2.0, search=Range(0.05, 0.4))


class Sampler(Method):
    """A method that chooses one negative per anchor and direction for the triplet loss."""

    Settings: ClassVar[type[Settings]] = TripletSettings

    @abstractmethod
    def choose(self, candidates: Candidates) -> Tensor:
        """Index ``[B]`` of one negative per anchor; any index for an anchor that has none.

        Called on parts of a batch, without gradient: an anchor's choice must not depend on the other anchors.
        """

    def observe(self, similarity: Tensor, ids: Tensor) -> None:
        """See the in-batch similarities ``[B, B]`` (image x text, no gradient) before choosing.

        Positives known besides the ids are ``-inf``, but for the partners.
        """

    def pair_loss(self, positive: Tensor, negative: Tensor) -> Tensor:
        """What an anchor pays, ``[B]``, from its similarities to its positive and its chosen negative, ``[B]`` each."""
        return torch.relu(self.settings.margin + negative - positive)

    @torch.no_grad()
    def begin(self, image: Tensor, text: Tensor, ids: Tensor, extras: Extras) -> None:
        if type(self).observe is Sampler.observe:  # nobody looks
            return
        similarity = single(image @ text.T)
        if extras.known:
            known = extras.known["i2t"][:, : len(ids)] & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)
            if extras.known_above:
                known = known & above_partner(image, text)
            similarity = similarity.masked_fill(known, -torch.inf)
        self.observe(similarity, ids)

    def total_loss(self, i2t: View, t2i: View) -> Tensor:
        """Both directions at once where a device waits for operations rather than for numbers."""
        if type(self).view_loss is Sampler.view_loss and together(i2t, t2i):
            return self.cost((i2t, t2i))
        return super().total_loss(i2t, t2i)

    def view_loss(self, view: View) -> Tensor:
        """Mean over anchors of ``[margin + s(anchor, negative) - s(anchor, positive)]_+``.

        The gradient touches the chosen rows only, so backward does not depend on the number of candidates.
        """
        return self.cost((view,))

    def cost(self, views: Sequence[View]) -> Tensor:
        """The sum of their ``view_loss``."""
        self.pick(*views)
        index = joined([self.chosen[view.direction] for view in views])
        parts = zip(views, index.clamp_min(0).chunk(len(views)), strict=True)
        chosen = joined([view.candidates.index_select(0, part) for view, part in parts])
        anchors, partners = joined([view.anchors for view in views]), joined([view.partners for view in views])
        positive, negative = (single((anchors * others).sum(dim=1)) for others in (partners, chosen))
        return torch.where(index >= 0, self.pair_loss(positive, negative), 0).mean() * len(views)

    @torch.no_grad()
    def pick(self, *views: View) -> Tensor:
        """``choose`` for all anchors, -1 where the choice is no negative: of the first view; all are in ``chosen``."""
        first = views[0]
        similarity = products([(view.anchors, view.candidates) for view in views])
        for view, part in zip(views, similarity.chunk(len(views)), strict=True):
            view.check_finite(part)
        parts = zip(views, similarity.chunk(len(views)), strict=True)
        own = joined(
            [part.diagonal(view.start) for view, part in parts]
        ).clone()  # of one source; masked in place below
        positives, picked = joined([view.positive for view in views]), []
        for rows in first.rows(len(similarity)):
            positive = positives[rows]
            index = self.choose(
                Candidates.masked(
                    similarity[rows], own[rows], positive, first.generator, first.direction, first.anchors.shape[1]
                )
            )
            none = positive.gather(1, index.view(len(index), -1)).view(index.shape)
            picked.append(torch.where(none, -1, index))
        for view, index in zip(views, joined(picked).chunk(len(views)), strict=True):
            self.chosen[view.direction] = index
        return self.chosen[first.direction]


class Listwise(Method):
    """A loss over all candidates at once, the mean of what each anchor pays. It writes what one direction costs."""

    @property
    def looks_within(self) -> bool:
        """Whether it reads ``View.within_similarity``, whose products are then made by blocks, too."""
        return False

    def total_loss(self, i2t: View, t2i: View) -> Tensor:
        """By parts of the anchors, so that no graph over ``[B, N]`` is kept; a compiler plans for itself."""
        if torch.compiler.is_compiling():
            return super().total_loss(i2t, t2i)
        if not torch.is_grad_enabled():
            return self.value(i2t, t2i)
        seen = [i2t.anchors, i2t.candidates, t2i.anchors, t2i.candidates]
        learnt = [parameter for parameter in self.parameters() if parameter.requires_grad]
        total: Tensor = InParts.apply(self, (i2t, t2i), *seen, *learnt)  # type: ignore[no-untyped-call]
        return total

    def value(self, i2t: View, t2i: View) -> Tensor:
        """The loss alone, in the same parts."""
        total = torch.zeros((), device=i2t.anchors.device)
        for rows in i2t.blocks():
            extras = i2t.extras.part(rows)
            for view in (i2t, t2i):
                block = replace(view.part(rows), extras=extras)
                for part in block.parts(block.similarity.detach()):
                    total = total + self.view_loss(part) * (len(part.anchors) / len(view.anchors))
        return total

    def view_loss(self, view: View) -> Tensor:
        """Scalar: the mean over the view's anchors, none of which may depend on the others."""
        return self.direction_loss(view.similarity, view.positive, view.positive_similarity)

    @abstractmethod
    def direction_loss(self, similarity: Tensor, positive: Tensor, own: Tensor) -> Tensor:
        """Scalar, from ``similarity [B, N]``, the mask ``positive [B, N]``, and ``own [B]``, that of the partner."""


class InParts(torch.autograd.Function):
    """The loss of a ``Listwise`` method with its gradient, block by block of the anchors, in both directions.

    The gradient takes the place of a block's similarities part by part, so that what lies between the two products
    stays in the cache. What the guide says of the captions is the same in both directions, and a block's guide keeps
    it from the one to the other. The gradient has no gradient of its own.
    """

    @staticmethod
    def forward(context: Any, method: Listwise, views: tuple[View, View], *inputs: Tensor) -> Tensor:
        needed = context.needs_input_grad[2:]
        seen, learnt = [value.detach() for value in inputs[:4]], inputs[4:]
        for leaf, learns in zip(seen, (True, needed[1], True, needed[3]), strict=True):
            leaf.requires_grad_(learns)
        sides = []
        for view, (anchors, candidates, counterparts) in zip(
            views, (seen[:2] + seen[3:], seen[2:] + seen[1:2]), strict=True
        ):
            leaves = [leaf for leaf in (anchors, candidates, counterparts, *learnt) if leaf.requires_grad]
            sides.append((replace(view, anchors=anchors, candidates=candidates, counterparts=counterparts), leaves))
        kept = {leaf: torch.zeros_like(leaf) for _, leaves in sides for leaf in leaves}
        total, count = torch.zeros((), device=seen[0].device), len(seen[0])
        at_once = type(method).view_loss is Listwise.view_loss and together(*views)
        with torch.enable_grad():  # off in here, and then the rows of a block would be cut from the leaves
            for rows in views[0].blocks():
                extras = views[0].extras.part(rows)
                blocks = ((replace(view.part(rows), extras=extras), leaves) for view, leaves in sides)
                weight = (rows.stop - rows.start) / count
                if at_once:
                    total = total + add_both(method, list(blocks), weight, kept)
                    continue
                for block, leaves in blocks:  # one at a time: each keeps its products
                    total = total + add_gradient(method, block, leaves, weight, kept)
        context.kept = [kept.get(leaf) for leaf in (*seen, *learnt)]
        return total

    @staticmethod
    @once_differentiable
    def backward(context: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(None if kept is None else upstream * kept for kept in context.kept)


def add_gradient(
    method: Listwise, block: View, leaves: list[Tensor], weight: float, kept: dict[Tensor, Tensor]
) -> Tensor:
    """The weighted loss of a block; its gradient by the leaves, the view's own, is added to ``kept``."""
    similarity, total = block.similarity.detach(), torch.zeros((), device=block.anchors.device)
    within = block.within_similarity.detach() if method.looks_within else None
    for part in block.parts(similarity, within):
        with torch.enable_grad():
            cost = method.view_loss(part) * (weight * len(part.anchors) / len(similarity))
        made = [part.similarity] if within is None else [part.similarity, part.within_similarity]
        found = torch.autograd.grad(cost, [*made, *leaves], materialize_grads=True)
        total = total + cost.detach()
        for values, slope in zip(made, found, strict=False):
            values.detach().copy_(slope)
        for leaf, more in zip(leaves, found[len(made) :], strict=True):
            kept[leaf] += more
    add_products(block, leaves[0], block.candidates, similarity, kept)
    if within is not None:
        add_products(block, leaves[0], block.counterparts, within, kept)
    return total


def add_both(
    method: Listwise, blocks: list[tuple[View, list[Tensor]]], weight: float, kept: dict[Tensor, Tensor]
) -> Tensor:
    """The same of a block of both directions, each with its leaves, as one: half as many operations."""
    with torch.no_grad():
        similarity = single(products([(block.anchors, block.candidates) for block, _ in blocks]))
    similarity.requires_grad_()
    positive = joined([block.positive for block, _ in blocks])
    own = joined([block.positive_similarity for block, _ in blocks])
    cost = method.direction_loss(similarity, positive, own) * (weight * len(blocks))
    leaves = list({leaf: None for _, leaves in blocks for leaf in leaves})
    slopes, *others = torch.autograd.grad(cost, [similarity, *leaves], materialize_grads=True)
    for leaf, more in zip(leaves, others, strict=True):
        kept[leaf] += more
    for (block, leaves), part in zip(blocks, slopes.chunk(len(blocks)), strict=True):
        add_products(block, leaves[0], block.candidates, part, kept)
    return cost.detach()


def add_products(block: View, anchors: Tensor, others: Tensor, slopes: Tensor, kept: dict[Tensor, Tensor]) -> None:
    """What the gradient by a block's products with ``others`` makes of these and of the view's ``anchors``."""
    slopes = slopes.to(block.anchors.dtype)
    kept[anchors][block.own] += slopes @ others.detach()
    if others.requires_grad:
        kept[others] += slopes.T @ block.anchors.detach()
