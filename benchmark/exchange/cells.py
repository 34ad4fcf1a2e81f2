"""Any record made live again, wherever its model was trained."""

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load

from negbench.benchmark.audit.asking import ExtrasMaker
from negbench.benchmark.errors import NoDataError
from negbench.benchmark.exchange.recording import NO_AUDIT, extras_without_features, gallery_of
from negbench.benchmark.recipe.external import AUDIT_BATCH
from negbench.benchmark.results.records import AGAIN, RunRecord, content
from negbench.benchmark.sweeps.live_cell import LiveCell, manifest_of, read_record
from negbench.benchmark.sweeps.recorded_cell import RecordedCell
from negbench.methods.base import Method
from negbench.pipelines.errors import damage
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.splits import split_of

FILE = "embeddings.safetensors"


class ExternalCell(LiveCell):
    """Of a model that was trained elsewhere, by its embeddings."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        """``NoDataError`` where no embeddings were given, or they or the dataset are others by now."""
        external = record.external
        assert external is not None, "told apart before"
        if FILE not in record.files:
            raise NoDataError(f"{folder}: no embeddings were given of {external.method}: {NO_AUDIT[external.given]}")
        manifest = manifest_of(record)
        split = split_of(manifest, "test")
        try:
            sides = load(content(folder, record, FILE))
            gallery = gallery_of(sides["images"], sides["captions"], split)
        except (SafetensorError, LookupError, ValueError) as error:
            said = damage(error) if isinstance(error, SafetensorError) else "not the embeddings that run.json tells of"
            raise NoDataError(f"{folder / FILE}: {said}; {AGAIN}") from None
        if gallery.scores.shape != (len(split.image_ids), len(split.caption_ids)):
            raise NoDataError(f"{folder / FILE}: not the embeddings that run.json tells of; {AGAIN}")
        super().__init__(folder, record, manifest, split, gallery, external.matches)

    @property
    def batch(self) -> int:
        return AUDIT_BATCH

    def method(self) -> Method | None:
        return None

    def extras_of(self, asked: Sequence[Method]) -> ExtrasMaker:
        return extras_without_features(self.gallery)


def live_cell(folder: Path, manifest: Manifest | None = None) -> RecordedCell | ExternalCell:
    """The cell of a record; ``NoDataError`` or ``DataError`` where record, model, dataset or features are missing or
    are others, or nothing but similarities was given. A ``manifest`` that is read already is not read again."""
    record = read_record(folder)
    return ExternalCell(folder, record) if record.config is None else RecordedCell(folder, manifest=manifest)
