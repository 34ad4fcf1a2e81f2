"""One anchor before the whole test gallery: what it retrieves, what methods suspect and push it from."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from negbench.benchmark.audit.asking import ExtrasMaker, Question, questions, shown
from negbench.benchmark.audit.pushes import push
from negbench.benchmark.evaluation.known_pairs import MATCH, UNKNOWN, Codes
from negbench.benchmark.inspection.items import Item, Look, Picks, Ready
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.sweeps.live_cell import LiveCell
from negbench.methods.base import Direction, Method

DRAWS = 100
"""Times a method that chooses is asked; many draw their choice."""
NO_FEATURES = "it needs frozen features, which a model that was trained elsewhere has not"
PICKS = 3
"""Negatives shown of each method."""


class Looker:
    """One anchor, with the whole test gallery as its candidates."""

    def __init__(
        self, run: LiveCell, extras_of: ExtrasMaker, direction: Direction, image: int, caption: int, seed: int
    ) -> None:
        self.run, self.extras_of, self.direction, self.seed = run, extras_of, direction, seed
        self.image, self.caption = image, caption
        owners = run.gallery.caption_image
        if direction == "i2t":
            self.similarity = run.gallery.captions @ run.gallery.images[image]
            others = [row for row in range(len(run.texts)) if row != caption]
            self.labelled = (owners == image).numpy()
        else:
            self.similarity = run.gallery.images @ run.gallery.captions[caption]
            others = [row for of, row in sorted(run.first.items()) if of != image]
            self.labelled = np.arange(len(run.gallery.images)) == image
        self.pool = torch.tensor([caption, *others])
        """Captions of the pairs that are candidates, the anchor's own first; images without captions are in none."""
        self.rows: list[int] = (self.pool if direction == "i2t" else owners[self.pool]).tolist()
        """The same in the gallery."""
        self.order = self.similarity.argsort(descending=True, stable=True)
        self.place = self.order.argsort().tolist()
        self.codes = self.codes_of()

    def codes_of(self) -> Codes:
        """What is known of the anchor and every item of the gallery."""
        image, caption = np.array([self.image]), np.array([self.caption])
        every = np.arange(len(self.similarity))
        if self.run.known_pairs is None:
            return np.full(len(every), UNKNOWN, dtype=np.int8)
        i2t = self.direction == "i2t"
        block = self.run.known_pairs.block(image, every) if i2t else self.run.known_pairs.block(every, caption)
        return block.reshape(-1)

    def look(self, chosen: Sequence[Ready], unable: Sequence[str], rank: float, top: int) -> Look:
        split = self.run.split
        own = self.suspicion(chosen[0].method) if chosen else {}
        return Look(
            direction=self.direction,
            anchor=split.image_ids[self.image] if self.direction == "i2t" else split.caption_ids[self.caption],
            image_id=split.image_ids[self.image],
            text=self.run.texts[self.caption],
            rank=rank,
            candidates=len(self.similarity),
            top=[self.item(row, own) for row in self.order[:top].tolist()],
            picks=[self.picks(ready) for ready in chosen] + [Picks(name, "", [], NO_FEATURES) for name in unable],
            positives=[self.item(row, own) for row in self.positives()],
        )

    def positives(self) -> list[int]:
        """Rows of the gallery that are labelled, then of those that are known to match without a label."""
        rows = [row for row in self.order.tolist() if self.labelled[row] or self.codes[row] == MATCH]
        return sorted(rows, key=lambda row: not self.labelled[row])

    def item(self, row: int, suspicion: dict[int, float], share: float | None = None) -> Item:
        split = self.run.split
        if self.direction == "i2t":
            name, image, caption = split.caption_ids[row], int(split.caption_image[row]), row
        else:
            name, image, caption = split.image_ids[row], row, self.run.first.get(row, -1)
        return Item(
            id=name,
            image_id=split.image_ids[image],
            text="" if caption < 0 else self.run.texts[caption],
            place=self.place[row] + 1,
            similarity=float(self.similarity[row]),
            mark=self.mark(row),
            suspicion=None if self.labelled[row] else suspicion.get(row),
            share=share,
        )

    def mark(self, row: int) -> str:
        if self.labelled[row]:
            return "labelled"
        if self.codes[row] == UNKNOWN:
            return ""
        match = self.codes[row] == MATCH
        if self.run.truth is not None:
            return "true" if match else "not true"
        return "judged true" if match else "judged not"

    def question(self, method: Method) -> Question:
        """The anchor alone, before all candidates."""
        seen = shown(method, self.run.gallery, self.extras_of, self.pool, anchors=1, from_memory=True)
        stream = torch.Generator().manual_seed(seed_for(self.seed, "inspect", self.direction))
        return next(one for one in questions(method, seen, stream) if one.view.direction == self.direction)

    @torch.no_grad()
    def suspicion(self, method: Method) -> dict[int, float]:
        """Of each candidate; empty where the method has no idea."""
        with torch.enable_grad():
            question = self.question(method)
        found = question.method.suspicion(question.view)
        return {} if found is None else dict(zip(self.rows, found[0].tolist(), strict=True))

    def picks(self, ready: Ready) -> Picks:
        """Where a method's push goes: the mean over its draws, largest first, the most similar first among equals."""
        weights = self.push(ready.method)
        if weights is None:
            return Picks(ready.name, ready.state, [], "it neither chooses nor weighs the candidates by similarity")
        rows = [place for place in range(len(self.rows)) if weights[place] > 0]
        rows.sort(key=lambda place: (-weights[place], self.place[self.rows[place]]))
        suspicion = self.suspicion(ready.method)
        items = [self.item(self.rows[place], suspicion, float(weights[place])) for place in rows[:PICKS]]
        return Picks(ready.name, ready.state, items, "" if items else "nothing pushes this anchor")

    def push(self, method: Method) -> NDArray[np.float64] | None:
        """``[N]``, a sum of 1, or 0 without any push: the picks of a method that chooses, else the shares of the slope.

        None where it does neither.
        """
        found = list(self.pushes(self.question(method)))
        if not found:
            return None
        mean: NDArray[np.float64] = np.mean(found, axis=0, dtype=np.float64)
        return mean

    def pushes(self, question: Question) -> Iterator[NDArray[np.float32]]:
        """``[N]`` once, or ``DRAWS`` times of a method that chooses."""
        for _ in range(DRAWS):
            asked = question.method
            done = push(asked, question.view)
            weights = done.slope if done.picks is None else done.picks
            if weights is not None:
                yield weights[0] / (weights[0].sum() or 1)
            if not asked.chosen:
                return
