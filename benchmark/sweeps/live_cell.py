"""A record made live again: the test split as its model sees it, and what is known of the pairs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from negbench.benchmark.audit.asking import ExtrasMaker
from negbench.benchmark.errors import NoDataError
from negbench.benchmark.evaluation.gallery import Gallery
from negbench.benchmark.evaluation.measures import known_pairs_of
from negbench.benchmark.results import integrity
from negbench.benchmark.results.records import RUNS, RunRecord
from negbench.methods.base import Method
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.splits import SplitIndex
from negbench.pipelines.truth import Truth


class LiveCell(ABC):
    """Works on the CPU, whatever the training ran on."""

    def __init__(
        self,
        folder: Path,
        record: RunRecord,
        manifest: Manifest,
        split: SplitIndex,
        gallery: Gallery,
        matches: Mapping[str, float],
    ) -> None:
        self.folder, self.record, self.manifest, self.split, self.gallery = folder, record, manifest, split, gallery
        self.truth = Truth.read(manifest_folder(record.dataset))
        self.known_pairs = known_pairs_of(split, manifest, self.truth, matches)

    @property
    @abstractmethod
    def batch(self) -> int:
        """Pairs of a batch in which methods would see the test."""

    @abstractmethod
    def method(self) -> Method | None:
        """The cell's own method as its training left it; None where nothing of it was kept."""

    @abstractmethod
    def extras_of(self, asked: Sequence[Method]) -> ExtrasMaker:
        """What some methods see besides."""

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


def read_record(folder: Path) -> RunRecord:
    """``integrity.read``, with the nearest folder of a record where there is none; ``NoDataError`` of a failed run."""
    if not (folder / "run.json").exists():
        there = [str(path.parent) for path in sorted(RUNS.glob("**/run.json"))]
        near = get_close_matches(str(folder), there, n=1) or there[:1]
        hint = f"there is {near[0]}" if near else "bench run makes one"
        more = f", and {len(there) - 1:,} more in {RUNS}" if len(there) > 1 else ""
        raise NoDataError(f"{folder}: no run.json; {hint}{more}")
    record = integrity.read(folder)
    if record.status == "failed":
        raise NoDataError(f"{folder}: the run failed, it left no model: {record.error}")
    return record


def manifest_of(record: RunRecord, manifest: Manifest | None = None) -> Manifest:
    """The manifest of a record, read if it is not given; ``NoDataError`` where it is another than the record's."""
    folder = manifest_folder(record.dataset)
    manifest = manifest or Manifest.read(folder)
    check_same("dataset", folder, manifest.hash, record.manifest_hash)
    return manifest


def check_same(what: str, where: Path, now: str, then: str) -> None:
    """``NoDataError`` where what a run was made of is another by now."""
    if now != then:
        raise NoDataError(
            f"{where}: not the {what} of this run ({now[:8]}, not {then[:8]}); run the cell again with --force"
        )
