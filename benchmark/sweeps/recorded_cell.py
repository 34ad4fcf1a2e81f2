"""A recorded cell made live again: its towers, its method, and the test split as they see it."""

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from negbench import methods
from negbench.benchmark.errors import NoDataError
from negbench.benchmark.evaluation.measures import known_pairs_of
from negbench.benchmark.results import integrity
from negbench.benchmark.results.records import AGAIN, RUNS, RunRecord, content
from negbench.benchmark.training.extras import ExtrasOf
from negbench.benchmark.training.inputs import features_hash, opened, towers_for
from negbench.methods.base import Method
from negbench.pipelines import sources
from negbench.pipelines.errors import damage
from negbench.pipelines.features import canonical
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder, store_folder
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth


class RecordedCell:
    """Works on the CPU, whatever the training ran on."""

    def __init__(self, folder: Path, judging: dict[str, float] | None = None) -> None:
        """``judging``: thresholds other than those of the record.

        ``NoDataError`` or ``DataError`` where record, weights, dataset or features are missing or are others.
        """
        self.folder, self.record = folder, read_record(folder)
        if self.record.status == "failed":
            raise NoDataError(f"{folder}: the run failed, it left no model: {self.record.error}")
        self.config = self.record.config.model_copy(update={"device": "cpu", **(judging or {})})
        self.manifest, self.store = data_of(self.record)
        self.towers = towers_for(self.store, self.config)
        load_state(self.towers, folder, self.record, "model.safetensors")
        self.data = opened(self.store, "test", self.config, self.towers)
        self.split = self.data.split
        self.gallery = self.data.gallery(self.towers)
        self.truth = Truth.read(manifest_folder(self.config.dataset))
        self.known_pairs = known_pairs_of(self.split, self.manifest, self.truth, self.config.matches)

    @cached_property
    def texts(self) -> list[str]:
        """The captions of the split."""
        texts = self.manifest.captions.set_index("caption_id")["text"]
        found: list[str] = texts.loc[self.split.caption_ids].tolist()
        return found

    @cached_property
    def first(self) -> dict[int, int]:
        """First caption of each image that has one."""
        owners = self.split.caption_image
        return {int(owners[row]): row for row in reversed(range(len(owners)))}

    def method(self) -> Method | None:
        """The cell's method as its training left it; None where the record, an older one, does not have that."""
        if not (self.folder / "method.safetensors").exists():
            return None
        method = methods.get(self.config.method)(**self.config.settings)
        load_state(method, self.folder, self.record, "method.safetensors")
        return method

    def extras_of(self, asked: Sequence[Method]) -> ExtrasOf:
        """What some methods see besides; the guide is centred as in the training. Texts are not made here."""
        some = [method for method in asked if "words" not in method.needs]
        guided = any("guide" in method.needs for method in some)
        data = opened(self.store, "train", self.config, self.towers) if guided else self.data
        truth = self.truth if self.config.positives == "oracle" else None
        return ExtrasOf(some, data, self.towers, truth=truth, captions_known=self.config.guide).of(self.data)


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
        ("features", folder, features_hash(store, record.config), record.features_hash),
    ):
        if now != then:
            raise NoDataError(
                f"{where}: not the {what} of this run ({now[:8]}, not {then[:8]}); run the cell again with --force"
            )
    return manifest, store


def load_state(module: torch.nn.Module, folder: Path, record: RunRecord, name: str) -> None:
    """Fill a module from a record's file; ``NoDataError`` where it is missing, edited, broken or of another module."""
    state = content(folder, record, name)
    try:
        module.load_state_dict(load(state))
    except SafetensorError as error:
        raise NoDataError(f"{folder / name}: no safetensors file that can be read: {damage(error)}; {AGAIN}") from None
    except RuntimeError:  # torch lists every name that does not fit
        raise NoDataError(f"{folder / name}: its tensors are not those that run.json tells of; {AGAIN}") from None
