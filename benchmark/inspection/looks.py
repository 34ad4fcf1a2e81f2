"""What a trained cell retrieves for one anchor of the test split, and which negatives methods would push it from.

The cell's own method has the state in which its training ended; the others are new. See ``docs/inspect.md``.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from negbench import methods
from negbench.benchmark.audit.pushes import push
from negbench.benchmark.errors import BenchError, NoDataError
from negbench.benchmark.evaluation.known_pairs import MATCH, UNKNOWN, Codes, Judged, Relation
from negbench.benchmark.evaluation.ranks import ranks
from negbench.benchmark.models.heads import make
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.results import integrity
from negbench.benchmark.results.records import AGAIN, RUNS, RunRecord, content
from negbench.benchmark.training.extras import ExtrasOf
from negbench.benchmark.training.loop import SplitTensors, exact
from negbench.methods.base import Direction, Memory, Method, View, views
from negbench.pipelines import sources
from negbench.pipelines.errors import damage, unknown
from negbench.pipelines.features import canonical
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder, store_folder
from negbench.pipelines.store import FeatureStore, Split
from negbench.pipelines.truth import Truth

DRAWS = 100
"""Times a method that chooses is asked; many draw their choice."""
PICKS = 3
"""Negatives shown of each method."""
METHODS = ("hardest", "semi-hard", "fne")
DIRECTIONS: tuple[Direction, ...] = ("i2t", "t2i")


@dataclass(frozen=True)
class Item:
    """A candidate, as the anchor sees it."""

    id: str
    image_id: str
    text: str
    """The caption, or the first one of the image."""
    place: int
    """1 is the most similar of all candidates; equal ones by their order in the split."""
    similarity: float
    mark: str
    """``labelled``; ``true``, ``not true`` where the truth is known; ``judged true``, ``judged not``; empty."""
    suspicion: float | None
    """How much a method takes it for a false negative; None where it has no idea of that."""
    share: float | None = None
    """Of a method's choices, or of its push."""


@dataclass(frozen=True)
class Picks:
    """The negatives that one method pushes the anchor from most."""

    method: str
    state: str
    """Where its statistics come from."""
    items: list[Item]
    reason: str = ""
    """Why there are none."""


@dataclass(frozen=True)
class Look:
    """One anchor in one direction."""

    direction: Direction
    anchor: str
    image_id: str
    text: str
    """The caption of the pair: the anchor itself, or its positive."""
    rank: float
    """Of the labelled positive; equal candidates count half."""
    candidates: int
    top: list[Item]
    picks: list[Picks]


@dataclass(frozen=True)
class Inspection:
    """All that is shown."""

    folder: str
    method: str
    dataset: str
    seed: int
    protocol: str
    known: str
    """What is known of pairs beyond the labels: ``truth``, ``judgements`` or nothing."""
    looks: list[Look]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and words, for JSON."""
        return asdict(self)


class Trained:
    """A recorded cell with the test split of its dataset, as it was then. Works on the CPU."""

    def __init__(self, folder: Path) -> None:
        """``NoDataError`` or ``DataError`` where record, weights, dataset or features are missing or are others."""
        self.folder, self.record = folder, read_record(folder)
        self.config = self.record.config
        if self.record.status == "failed":
            raise NoDataError(f"{folder}: the run failed, there is nothing to inspect: {self.record.error}")
        self.manifest, self.store = data_of(self.record)
        self.split = self.store.split("test")
        self.data = SplitTensors(self.split, "cpu")
        self.model = make(self.data.images.shape[1], self.data.captions.shape[1], self.config, self.config.seed)
        load_state(self.model, folder, self.record, "model.safetensors")
        self.images, self.captions = self.data.encode(self.model)
        self.truth = Truth.read(manifest_folder(self.config.dataset))
        self.relation = relation_of(self.config, self.manifest, self.split, self.data, self.truth)
        texts = self.manifest.captions.set_index("caption_id")["text"]
        self.texts: list[str] = texts.loc[self.split.caption_ids].tolist()
        owners = self.split.caption_image
        self.first: dict[int, int] = {int(owners[row]): row for row in reversed(range(len(owners)))}
        """First caption of each image that has one."""

    def extras_of(self, chosen: Sequence[Method]) -> ExtrasOf:
        """What some methods see besides; the guide is centred as in the training. Texts are not made here."""
        some = [method for method in chosen if "words" not in method.needs]
        guided = any("guide" in method.needs for method in some)
        data = SplitTensors(self.store.split("train"), "cpu") if guided else self.data
        truth = self.truth if self.config.positives == "oracle" else None
        return ExtrasOf(some, data, self.model, truth=truth, captions_known=self.config.guide).of(self.data)


@dataclass(frozen=True)
class Ready:
    """A method and where its state comes from."""

    name: str
    method: Method
    state: str


def inspect(
    folder: Path,
    anchor: str = "worst",
    directions: Sequence[Direction] = DIRECTIONS,
    top: int = 10,
    names: Sequence[str] = METHODS,
    seed: int = 0,
) -> Inspection:
    """Look at one anchor of a recorded cell.

    Args:
        folder: of the record.
        anchor: id of a test image or caption, which stands for the pair of both; ``random``; ``worst``: in each
            direction the query whose labelled positive ranks lowest, the first by id among equal ones.
        directions: which side of the pair asks.
        top: retrieved items to show.
        names: methods beside the run's own.
        seed: of the random anchor and of what methods draw.

    Raises:
        BenchError: an unknown anchor or method.
        NoDataError, DataError: a record, data or features that are missing or not those of the run.
    """
    for name in names:
        methods.get(name)  # an unknown one ends it before anything is loaded
    run = Trained(folder)
    others = [name for name in dict.fromkeys(name.replace("_", "-") for name in names) if name != run.config.method]
    positions = ranks(run.images, run.captions, run.data.caption_image)
    queries = sorted(run.first)
    of_images = dict(zip(queries, positions.i2t.tolist(), strict=True))
    of_captions = dict(enumerate(positions.t2i.tolist()))
    fixed = None if anchor == "worst" else find(run, anchor, seed)
    chosen = [own_method(run, seed), *(new_method(run, name, seed) for name in others)]
    extras_of = run.extras_of([ready.method for ready in chosen])
    looks = []
    for direction in directions:
        if fixed is not None:
            caption = fixed
        elif direction == "i2t":
            caption = run.first[lowest(of_images, run.split.image_ids)]
        else:
            caption = lowest(of_captions, run.split.caption_ids)
        image = int(run.split.caption_image[caption])
        rank = of_images[image] if direction == "i2t" else of_captions[caption]
        looks.append(Looker(run, extras_of, direction, image, caption, seed).look(chosen, rank, top))
    known = "truth" if run.truth is not None else "judgements" if run.relation is not None else ""
    record = run.record
    protocol = f"{record.protocol.name} ({record.protocol.images:,} images, {record.protocol.captions:,} captions)"
    return Inspection(str(folder), record.method_id, run.config.dataset, run.config.seed, protocol, known, looks)


# --- The cell ---------------------------------------------------------------------------------------------------


def probability(p: float) -> str:
    """Three decimals; what would round to 0 or 1 and is not is said so."""
    return "<0.001" if 0 < p < 0.0005 else ">0.999" if 0.9995 <= p < 1 else f"{p:.3f}"


def read_record(folder: Path) -> RunRecord:
    """``believed.read``, with the nearest folder of a record where there is none."""
    if not (folder / "run.json").exists():
        there = [str(path.parent) for path in sorted(RUNS.glob("**/run.json"))]
        near = get_close_matches(str(folder), there, n=1) or there[:1]
        hint = f"there is {near[0]}" if near else "bench run makes one"
        more = f", and {len(there) - 1:,} more in {RUNS}" if len(there) > 1 else ""
        raise NoDataError(f"{folder}: no run.json; {hint}{more}")
    return integrity.read(folder)


def data_of(record: RunRecord) -> tuple[Manifest, FeatureStore]:
    """The manifest and features of a record; ``NoDataError`` where those on disk are others."""
    name, encoder = record.config.dataset, record.config.encoder
    source = sources.read(name)
    manifest = Manifest.read(manifest_folder(name))
    folder = store_folder(name, encoder)
    if not folder.exists():  # an alias, as a record may have it
        folder = store_folder(name, canonical(source, encoder))
    store = FeatureStore(folder, manifest.hash)
    for what, where, now, then in (
        ("dataset", manifest_folder(name), manifest.hash, record.manifest_hash),
        ("features", folder, store.hash, record.features_hash),
    ):
        if now != then:
            raise NoDataError(
                f"{where}: not the {what} of this run ({now[:8]}, not {then[:8]}); run the cell again with --force"
            )
    return manifest, store


def relation_of(
    config: RunConfig, manifest: Manifest, split: Split, data: SplitTensors, truth: Truth | None
) -> Relation | None:
    positive = {"expert": config.expert_match, "crowd": config.crowd_match}
    return exact(data, truth) or Judged.of(manifest.judgements, split.image_ids, split.caption_ids, positive)


def load_state(module: torch.nn.Module, folder: Path, record: RunRecord, name: str) -> None:
    """Fill a module from a record's file; ``NoDataError`` where it is missing, edited, broken or of another module."""
    state = content(folder, record, name)
    try:
        module.load_state_dict(load(state))
    except SafetensorError as error:
        raise NoDataError(f"{folder / name}: no safetensors file that can be read: {damage(error)}; {AGAIN}") from None
    except RuntimeError:  # torch lists every name that does not fit
        raise NoDataError(f"{folder / name}: its tensors are not those that run.json tells of; {AGAIN}") from None


# --- Methods ----------------------------------------------------------------------------------------------------


def own_method(run: Trained, seed: int) -> Ready:
    """The run's own method, as its training left it; warmed where the record, an older one, does not have that."""
    method = methods.get(run.config.method)(**run.config.settings)
    name, path = run.record.method_id, run.folder / "method.safetensors"
    if not path.exists():
        return Ready(name, method, warm(run, method, seed) + " (the record, an older one, keeps no state)")
    load_state(method, run.folder, run.record, path.name)
    return Ready(name, method, "as the training left it")


def new_method(run: Trained, name: str, seed: int) -> Ready:
    """Another method with its default settings."""
    method = methods.get(name)()
    return Ready(name, method, warm(run, method, seed))


def warm(run: Trained, method: Method, seed: int) -> str:
    """Let a new method that keeps anything see one pass of the split in batches; says what was done."""
    if not any(True for _ in method.buffers()):
        return "new, keeps no statistics"
    batch = min(run.config.batch, len(run.captions))
    extras_of = run.extras_of([method])
    order = torch.randperm(len(run.captions), generator=torch.Generator().manual_seed(seed_for(seed, "inspect")))
    stream = torch.Generator().manual_seed(seed_for(seed, "inspect", "warm"))
    method.start_epoch()
    for captions in torch.split(order, batch):
        owners = run.data.caption_image[captions]
        ids, rows = run.data.image_rows[owners], run.data.caption_rows[captions]
        extras = extras_of(method, captions, rows, ids)
        image, text = run.images[owners], run.captions[captions]
        method.begin(image, text, ids, extras)
        for view in views(image.requires_grad_(), text.requires_grad_(), ids, None, stream, extras):
            method.view_loss(view)
    return f"new, after one pass over the test captions in batches of {batch}"


# --- Anchors ----------------------------------------------------------------------------------------------------


def lowest(ranks: Mapping[int, float], ids: Sequence[str]) -> int:
    """The query whose positive ranks lowest, the first by id among equal ones."""
    return min(ranks, key=lambda row: (-ranks[row], ids[row]))


def find(run: Trained, anchor: str, seed: int) -> int:
    """The caption of the pair that an id names; an image stands for its first caption. ``BenchError`` if unknown."""
    if anchor == "random":
        stream = torch.Generator().manual_seed(seed_for(seed, "inspect", "anchor"))
        return int(torch.randint(len(run.texts), (), generator=stream))
    if anchor in run.split.caption_ids:
        return run.split.caption_ids.index(anchor)
    if anchor in run.split.image_ids:
        image = run.split.image_ids.index(anchor)
        if image not in run.first:
            raise BenchError(f"image '{anchor}' has no caption, so it is no query")
        return run.first[image]
    manifest = run.manifest
    images = manifest.images.set_index("image_id")["split"]
    captions = manifest.captions.set_index("caption_id")["image_id"]
    image_id = captions[anchor] if anchor in captions.index else anchor
    if image_id in images.index:
        raise BenchError(f"'{anchor}' is of the {images[image_id]} split; only test items are inspected")
    nearest = unknown("anchor", anchor, [*run.split.image_ids, *run.split.caption_ids])
    hint = nearest.partition("; ")[2] if "did you mean" in nearest else "random and worst are anchors too"
    raise BenchError(f"unknown anchor '{anchor}', no test image or caption of '{run.config.dataset}'; {hint}")


# --- One look ---------------------------------------------------------------------------------------------------


class Looker:
    """One anchor, with the whole test gallery as its candidates."""

    def __init__(
        self, run: Trained, extras_of: ExtrasOf, direction: Direction, image: int, caption: int, seed: int
    ) -> None:
        self.run, self.extras_of, self.direction, self.seed = run, extras_of, direction, seed
        self.image, self.caption = image, caption
        owners = run.data.caption_image
        if direction == "i2t":
            self.similarity = run.captions @ run.images[image]
            others = [row for row in range(len(run.texts)) if row != caption]
            self.labelled = (owners == image).numpy()
        else:
            self.similarity = run.images @ run.captions[caption]
            others = [row for of, row in sorted(run.first.items()) if of != image]
            self.labelled = np.arange(len(run.images)) == image
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
        if self.run.relation is None:
            return np.full(len(every), UNKNOWN, dtype=np.int8)
        i2t = self.direction == "i2t"
        block = self.run.relation.block(image, every) if i2t else self.run.relation.block(every, caption)
        return block.reshape(-1)

    def look(self, chosen: Sequence[Ready], rank: float, top: int) -> Look:
        split = self.run.split
        own = self.suspicion(chosen[0].method)
        return Look(
            direction=self.direction,
            anchor=split.image_ids[self.image] if self.direction == "i2t" else split.caption_ids[self.caption],
            image_id=split.image_ids[self.image],
            text=self.run.texts[self.caption],
            rank=rank,
            candidates=len(self.similarity),
            top=[self.item(row, own) for row in self.order[:top].tolist()],
            picks=[self.picks(ready) for ready in chosen],
        )

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

    def view(self, method: Method) -> View:
        """The anchor alone, before all candidates."""
        run = self.run
        owners = run.data.caption_image[self.pool]
        ids, rows = run.data.image_rows[owners], run.data.caption_rows[self.pool]
        extras = self.extras_of(method, self.pool[:1], rows, ids)
        image, text = run.images[owners[:1]].requires_grad_(), run.captions[self.pool[:1]].requires_grad_()
        stream = torch.Generator().manual_seed(seed_for(self.seed, "inspect", self.direction))
        memory = Memory(run.images[owners], run.captions[self.pool], ids)
        method.begin(image, text, ids[:1], extras)
        both = views(image, text, ids[:1], memory, stream, extras)
        return next(view for view in both if view.direction == self.direction)

    @torch.no_grad()
    def suspicion(self, method: Method) -> dict[int, float]:
        """Of each candidate; empty where the method has no idea."""
        state = copy.deepcopy(method.state_dict())
        with torch.enable_grad():
            view = self.view(method)
        method.load_state_dict(state)
        found = method.suspicion(view)
        method.load_state_dict(state)
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
        state = copy.deepcopy(method.state_dict())
        view = self.view(method)
        found = list(self.pushes(method, view, state))
        if not found:
            return None
        mean: NDArray[np.float64] = np.mean(found, axis=0, dtype=np.float64)
        return mean

    def pushes(self, method: Method, view: View, state: dict[str, Tensor]) -> Iterator[NDArray[np.float32]]:
        """``[N]`` once, or ``DRAWS`` times of a method that chooses; its state is put back."""
        for _ in range(DRAWS):
            method.load_state_dict(state)
            done = push(method, view)
            method.load_state_dict(state)
            weights = done.slope if done.picks is None else done.picks
            if weights is not None:
                yield weights[0] / (weights[0].sum() or 1)
            if not method.chosen:
                return
