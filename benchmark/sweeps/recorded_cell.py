"""A recorded cell made live again: its towers, its method, and the test split as they see it."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from negbench import methods
from negbench.benchmark.errors import NoDataError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results.records import AGAIN, RunRecord, content
from negbench.benchmark.sweeps.live_cell import LiveCell, check_same, manifest_of, read_record
from negbench.benchmark.training.extras import ExtrasOf
from negbench.benchmark.training.inputs import features_hash, opened, towers_for
from negbench.methods.base import Method
from negbench.pipelines import sources
from negbench.pipelines.errors import damage
from negbench.pipelines.features import canonical
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import store_folder
from negbench.pipelines.store import FeatureStore


class RecordedCell(LiveCell):
    """Of a model that was trained here."""

    def __init__(self, folder: Path, judging: dict[str, float] | None = None, manifest: Manifest | None = None) -> None:
        """``judging``: thresholds other than those of the record; ``manifest``: that of the dataset, if it is read.

        ``NoDataError`` or ``DataError`` where record, weights, dataset or features are missing or are others.
        """
        record = read_record(folder)
        if record.config is None:
            raise NoDataError(f"{folder}: trained elsewhere, so there is no model of it here")
        self.config = record.config.model_copy(update={"device": "cpu", **(judging or {})})
        manifest, self.store = data_of(record, record.config, manifest)
        self.towers = towers_for(self.store, self.config)
        load_state(self.towers, folder, record, "model.safetensors")
        self.data = opened(self.store, "test", self.config, self.towers)
        gallery = self.data.gallery(self.towers)
        super().__init__(folder, record, manifest, self.data.split, gallery, self.config.matches)

    @property
    def batch(self) -> int:
        return self.config.batch

    def method(self) -> Method | None:
        """None where the record, an older one, does not have it."""
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
        above, truth = self.config.positives == "oracle-above", None
        if self.config.positives != "labelled":
            truth = self.truth
        known = ExtrasOf(some, data, self.towers, truth=truth, captions_known=self.config.guide, above=above)
        return known.of(self.data)


def data_of(record: RunRecord, config: RunConfig, manifest: Manifest | None = None) -> tuple[Manifest, FeatureStore]:
    """The manifest and features of a record; ``NoDataError`` where those on disk are others."""
    source = sources.read(config.dataset)
    manifest = manifest_of(record, manifest)
    folder = store_folder(config.dataset, config.encoder)
    if not folder.exists():  # an alias, as a record may have it
        folder = store_folder(config.dataset, canonical(source, config.encoder))
    store = FeatureStore(folder, record.manifest_hash)  # that of the manifest, as was looked at
    check_same("features", folder, features_hash(store, config), record.features_hash)
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
