"""Manifest and encoder to feature store: in batches, resumable, complete or not at all.

Work goes on in a folder beside the store's place (``work.Work``). Each ``.npy`` file there has its final header from
the start and grows by whole batches, so its size says where to go on: what a kill leaves is continued at the same
batch, and the result is the same to the byte. Work for another manifest, revision, device or batch size is thrown
away. Where a batch does not fit, that side begins again with batches of half the size: all its rows come from batches
of one size.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negbench.pipelines import datasets, encoders, equal_texts, prepare, sources
from negbench.pipelines.atomic import write_text
from negbench.pipelines.current import PRECOMPUTED_REVISION, SIDES, code_of, given_captions, is_current
from negbench.pipelines.datasets.precomp import CaptionFeatures
from negbench.pipelines.encoders import CPU, Encoder
from negbench.pipelines.encoding import BATCH, How, OutOfMemoryError, Stage, device_for, first_batch, workers_for
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.files import Progress, digest, read_json, silent
from negbench.pipelines.filling import append, fill, parts_of
from negbench.pipelines.locks import alone
from negbench.pipelines.manifest import SPLITS, Manifest
from negbench.pipelines.reading import pictures
from negbench.pipelines.rows import Features, Rows
from negbench.pipelines.shards import Shard, Spread, spread_over
from negbench.pipelines.sides import PixelsCard, Side, pair
from negbench.pipelines.sources import FEATURES, Source, manifest_folder, store_folder
from negbench.pipelines.store import KIND, FeatureStore, add_digests, complete, intact, load_array, read_info
from negbench.pipelines.work import Work

Waiting = Callable[[str], None]
"""Called with one line, when another process is waited for."""


def unsaid(line: str) -> None:
    """Wait without a word."""


def make(
    name: str,
    encoder: str | None = None,
    *,
    dtype: str | None = None,
    batch: int | None = None,
    workers: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    main: str | None = None,
    force: bool = False,
    progress: Progress = silent,
    waiting: Waiting = unsaid,
    spread: Spread | None = None,
) -> Path:
    """The store of a dataset, built where it is missing or stale (``force``: in any case); the manifest too.

    ``encoder`` and ``main``, that of the pipeline, are the dataset's own where None; ``dtype``, float32 or float16, is
    that of the store before, and pixels are uint8 in any case; for the rest see ``encoding.How``. ``spread`` encodes
    parts of splits elsewhere. ``DataError`` where the dataset is not there or broken.
    """
    source = sources.read(name)
    maker = Maker(prepare.ensure(name, source), source, encoder, How(batch, workers, device, precision), dtype, main)
    maker.spread = spread
    return maker.make(progress, waiting, force=force, verify=True)


def ensure(
    name: str,
    encoder: str | None = None,
    progress: Progress = silent,
    waiting: Waiting = unsaid,
    main: str | None = None,
) -> tuple[Manifest, FeatureStore]:
    """Manifest and store of a dataset, built where missing or stale; its own encoder where none is named."""
    source = sources.read(name)
    manifest = prepare.ensure(name, source)
    folder = Maker(manifest, source, encoder, How(), main=main).make(progress, waiting)
    return manifest, FeatureStore(folder, manifest.hash)


def canonical(source: Source, encoder: str) -> str:
    """The one name of an encoder for a dataset, aliases resolved."""
    return "+".join(pair(encoder, datasets.holds_features(source.format)))


class Maker:
    """Makes one store."""

    def __init__(
        self,
        manifest: Manifest,
        source: Source,
        encoder: str | None,
        how: How,
        dtype: str | None = None,
        main: str | None = None,
    ) -> None:
        self.manifest, self.source, self.how, self.dtype = manifest, source, how, dtype
        self.spread: Spread | None = None
        self.encoder = canonical(source, encoder or source.encoder)
        self.main = canonical(source, main) if main else source.encoder
        self.target = store_folder(manifest.name, self.encoder)
        self.names = dict(zip(SIDES, pair(self.encoder, datasets.holds_features(source.format)), strict=True))
        self.work = Work(self.target)
        self._stages: dict[str, Stage] = {}

    def make(self, progress: Progress, waiting: Waiting, *, force: bool = False, verify: bool = False) -> Path:
        """The folder of the store; ``verify``: it is stale, too, where one of its bytes changed.

        Nothing is written and nobody waited for where all is ready: a project may be read-only.
        """
        if not force and self._is_current(verify) and self._points():
            return self.target
        prepare.check_apart(self.manifest.name, self.source, self.target)
        told = f"features of {self.manifest.name} are being made by"
        with alone(self.work.lock, lambda holder: waiting(f"{told} {holder}; waiting")):  # many cells need one store
            if not force:
                add_digests(self.target, self.manifest)
            if force or not self._is_current(verify):
                KIND.check(self.target)
                self._build(progress)
            if not self._points():
                write_text(self._pointer, self._pointed())
        return self.target

    @property
    def _code(self) -> str:
        return code_of(self.names.values())

    @property
    def _belongs(self) -> dict[str, Any]:
        """What a store is made for; the numbers are those of the store which is there, so that only who asks for
        others gets them."""
        dtype = self.dtype or _dtype(self.target)
        return {
            "dataset": self.manifest.name,
            "encoder": self.encoder,
            "manifest": self.manifest.hash,
            "dtype": dtype,
            **given_captions(self.manifest.info, self.encoder),
        }

    def _is_current(self, verify: bool) -> bool:
        current = is_current(self.target, self._belongs, self.names, self._code)
        return current and (not verify or intact(self.target))

    def _build(self, progress: Progress) -> None:
        """Encode what is missing, and put it in place."""
        sides = {part: _side(self.manifest, self.source, part, self.names[part], self.how) for part in SIDES}
        if self.dtype and not any(side.has_vectors for side in sides.values()):
            raise RequestError(f"--dtype {self.dtype}: encoder '{self.encoder}' makes no vectors that could have it")
        both = {"image": sides["images"].recipe, "text": sides["captions"].recipe}
        recipe = {**self._belongs, **both, "code": self._code}
        asked = {"batch": self.how.batch, "devices": {part: asdict(side.device) for part, side in sides.items()}}
        if self.work.finished({**recipe, **asked}):
            return
        found = self.work.begin({**recipe, **asked})
        made = {}
        for modality, side in sides.items():
            if not side.dim:
                continue
            first = found.get(modality) or first_batch(self.how, side.device)
            batch = self._encode(modality, side, first, recipe["dtype"], progress)
            made[modality] = {**asdict(side.device), "batch": batch}
        complete(self.work.store, self.manifest, {**recipe, "made": made, **self._captions(sides["captions"])})
        self.work.finish()
        self.work.move()

    def _captions(self, side: Side) -> dict[str, Any]:
        """What the store says of its captions."""
        if not side.dim:
            return {}
        text = self._stages["captions"]._encoder  # loaded already, where anything was left to encode
        if text is None and side.name != encoders.PRECOMPUTED:
            text = encoders.make(side.name, "text", side.device)
        return {"captions": equal_texts.figures(self.work.store, self.manifest, text)}

    def _encode(self, modality: str, side: Side, batch: int, dtype: str, progress: Progress) -> int:
        """One side, with batches of half the size while they do not fit; the size that did."""
        stage = self._stages[modality] = _stage(self.manifest, self.source, modality, side, self.how)
        while True:
            try:
                if self.spread is not None:
                    self._spread(self.spread, modality, side, batch, dtype, progress)
                _encode(self.work.store, self.manifest, modality, side, stage, dtype, batch, progress)
                return batch
            except OutOfMemoryError:
                batch = _halve(self.work, modality, side, self.how, batch)

    def _spread(self, spread: Spread, modality: str, side: Side, batch: int, dtype: str, progress: Progress) -> None:
        """Let others encode what is missing of one side."""
        kind = "uint8" if side.size else dtype
        for split, rows in parts_of(self.manifest, modality):
            whole = Shard(self.manifest.name, self.manifest.hash, self.encoder, self.how, modality, split, batch, kind)
            path = self.work.store / f"{split}_{modality}{'_sequences' if side.length else ''}.npy"
            for done in spread_over(spread, whole, path, self.work.parts, len(rows), side.shape):
                progress(f"{split} {modality}", done, len(rows))

    @property
    def _pointer(self) -> Path:
        """``features/<dataset>.json``: at the store of the main encoder; pipeline stages depend on it."""
        return FEATURES / f"{self.manifest.name}.json"

    def _pointed(self) -> str:
        info = read_info(self.target)
        return json.dumps({"encoder": self.encoder, "manifest": info["manifest"], "hash": info["hash"]}) + "\n"

    def _points(self) -> bool:
        """Whether the pointer needs no change."""
        if self.encoder != self.main:
            return True
        try:
            return bool(read_json(self._pointer) == json.loads(self._pointed()))
        except DataError:
            return False


def _side(manifest: Manifest, source: Source, modality: str, name: str, how: How) -> Side:
    if name == encoders.PRECOMPUTED:
        root = source.root(manifest.name)
        images = modality == "images"
        shape = load_array(root / manifest.images["file"].iloc[0]).shape[1:] if images else CaptionFeatures(root).shape
        return Side(name, PRECOMPUTED_REVISION, shape[-1], shape[0] if len(shape) == 2 else 0)
    card = encoders.card(name, SIDES[modality])
    device = device_for(how) if card.devices else CPU
    return Side(name, card.revision, card.dim, card.length, device, card.size if isinstance(card, PixelsCard) else 0)


def _dtype(target: Path) -> str:
    """That of the store which is there already, so that only who asks for another one gets it."""
    try:
        return str(read_info(target)["dtype"])
    except DataError:
        return "float32"


def _encode(
    store: Path, manifest: Manifest, modality: str, side: Side, stage: Stage, dtype: str, batch: int, progress: Progress
) -> None:
    """All splits of a modality, with one size of batch."""
    for split, rows in parts_of(manifest, modality):
        path = store / f"{split}_{modality}{'_sequences' if side.length else ''}.npy"
        for done in fill(path, rows, side.shape, stage, "uint8" if side.size else dtype, batch):
            progress(f"{split} {modality}", done, len(rows))
        if modality == "captions":
            equal_texts.make_equal(path, rows["text"].tolist())
        if side.length:
            _pool(path, store / f"{split}_{modality}.npy", dtype)


def _pool(sequences: Path, path: Path, dtype: str) -> None:
    """The vectors beside some sequences: the means of what is stored."""
    stored = Rows(load_array(sequences))
    rows = pd.DataFrame({"row": np.arange(len(stored))})
    for _ in fill(path, rows, stored.shape[2:], Stage(lambda: _Means(stored), attrgetter("row"), 0), dtype, BATCH):
        pass


def encode_shard(shard: Shard) -> None:
    """Encode the rows of a shard into its file, from where an earlier try left it.

    Raises:
        DataError: the manifest is another one here, or a row cannot be encoded.
        OutOfMemoryError: a batch does not fit.
    """
    source = sources.read(shard.dataset)
    manifest = Manifest.read(manifest_folder(shard.dataset))
    if manifest.hash != shard.manifest_hash:
        raise DataError(f"{manifest_folder(shard.dataset)} is another one there; share the project's folder")
    name = dict(zip(SIDES, pair(shard.encoder, datasets.holds_features(source.format)), strict=True))[shard.modality]
    side = _side(manifest, source, shard.modality, name, shard.how)
    stage = _stage(manifest, source, shard.modality, side, shard.how)
    rows = dict(parts_of(manifest, shard.modality))[shard.split].iloc[shard.start : shard.stop]
    with Path(shard.path).open("ab") as file:
        for _ in append(file, 0, rows, side.shape, stage, np.dtype(shard.dtype).newbyteorder("<"), shard.batch):
            pass


def _halve(work: Work, modality: str, side: Side, how: How, batch: int) -> int:
    """Begin a modality again with batches of half the size. What was made goes first: a kill must not leave both."""
    if how.batch is not None or batch == 1:
        hint = "leave --batch out, and one that fits is found" if how.batch and batch > 1 else "use --device cpu"
        raise RequestError(f"encoder '{side.name}': a batch of {batch} does not fit on '{side.device.name}'; {hint}")
    for split in SPLITS:
        for path in work.store.glob(f"{split}_{modality}*.npy"):
            path.unlink()
    work.halve(modality, batch // 2)
    return batch // 2


def mean_of_steps(sequences: Features) -> Features:
    """``[n, L, D]`` to ``[n, D]``: the mean of the steps that are no padding; zeros where all are."""
    real = (sequences != 0).any(axis=2).sum(axis=1, dtype=np.float32)
    mean: Features = sequences.sum(axis=1) / np.maximum(real, 1)[:, None]
    return mean


def _stage(manifest: Manifest, source: Source, modality: str, side: Side, how: How) -> Stage:
    root = source.root(manifest.name)
    if side.name == encoders.PRECOMPUTED and modality == "images":
        return Stage(lambda: _Rows(root), _itself, workers=0)
    given = side.name == encoders.PRECOMPUTED
    load = (lambda: _Given(root)) if given else partial(encoders.make, side.name, SIDES[modality], side.device)
    if modality == "captions":
        return Stage(load, attrgetter("text"), workers=0)
    return Stage(load, lambda row: pictures.load(root, row.file, row.row, row.content), workers_for(how))


def _itself(row: Any) -> Any:
    return row


class _Rows(Encoder):
    """The rows of the source's own feature files."""

    name, revision, kind = encoders.PRECOMPUTED, PRECOMPUTED_REVISION, "image"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._array = cache(load_array)

    def prepare(self, item: Any) -> NDArray[np.float32]:
        vector = self._array(self._root / item.file)[item.row]
        if digest(vector.tobytes()) != item.content:
            raise DataError(
                f"{self._root / item.file}: row {item.row} changed since the dataset was added; see: bench data check"
            )
        return np.asarray(vector, dtype=np.float32)

    def forward(self, prepared: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.stack(prepared)


class _Given(Encoder):
    """The features that came with the captions."""

    name, revision, kind = encoders.PRECOMPUTED, PRECOMPUTED_REVISION, "text"

    def __init__(self, root: Path) -> None:
        self._features = CaptionFeatures(root)

    def forward(self, prepared: list[str]) -> NDArray[np.float32]:
        return np.stack([self._features.of(text) for text in prepared])


class _Means(Encoder):
    """The vectors of sequences that are stored already."""

    name, revision, kind = "means", "1", "image"

    def __init__(self, stored: Rows) -> None:
        self._stored = stored

    def forward(self, prepared: list[int]) -> NDArray[np.float32]:
        return mean_of_steps(self._stored[np.array(prepared)])
