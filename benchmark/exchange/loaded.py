"""A record opened for use: what it says, its towers, its test, and a way in for new pictures and texts."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from negbench.benchmark.errors import BenchError, NoDataError
from negbench.benchmark.evaluation.gallery import Gallery
from negbench.benchmark.exchange import encoding
from negbench.benchmark.exchange.cells import live_cell
from negbench.benchmark.models.two_towers import TwoTowers
from negbench.benchmark.sweeps.live_cell import LiveCell, read_record
from negbench.benchmark.sweeps.recorded_cell import RecordedCell
from negbench.pipelines import datasets, sources
from negbench.pipelines.text import short

if TYPE_CHECKING:
    from PIL.Image import Image

    from negbench.benchmark.results.records import RunRecord


class Loaded:
    """A record. Towers and test are read when they are asked for; everything is on the CPU."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: RunRecord = read_record(folder)

    @cached_property
    def cell(self) -> LiveCell:
        """``NoDataError`` or ``DataError`` where model, dataset or features are missing or are others by now."""
        return live_cell(self.folder)

    @property
    def gallery(self) -> Gallery:
        """The test split as the model sees it; ``NoDataError`` where nothing but similarities was given."""
        return self.cell.gallery

    @property
    def towers(self) -> TwoTowers:
        """The model, for evaluation; ``NoDataError`` where it was trained elsewhere."""
        found = self._trained.towers
        found.eval()
        return found

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """``[n, dim]`` unit vectors of the joint space; ``NoDataError`` where a new text cannot be encoded.

        ``BenchError`` for anything but a list of texts with words in them.
        """
        if isinstance(texts, str):
            raise BenchError("texts: a text alone; give a list, as in encode_texts([text])")
        for number, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise BenchError(f"texts: number {number} is no text with a word in it: {short(repr(text))}")
        return encoding.encode_texts(self._trained, texts)

    def encode_images(self, images: "Sequence[Path | str | Image]") -> Tensor:
        """The same of picture files, or of pictures that Pillow has opened."""
        return encoding.encode_images(self._trained, images)

    @property
    def _trained(self) -> RecordedCell:
        if self.record.config is None:
            raise NoDataError(f"{self.folder}: trained elsewhere, so there is no model of it here")
        assert isinstance(self.cell, RecordedCell), "by its record"
        return self.cell


def load(folder: Path | str) -> Loaded:
    """Open a record, such as ``runs/scenes/fne/seed-0``; ``NoDataError`` where there is none that can be believed."""
    return Loaded(Path(folder))


class Hit(NamedTuple):
    """A test image that a text found."""

    place: int
    id: str
    similarity: float
    file: str | None
    """Where the picture is; None where the dataset has features alone."""
    row: int | None
    """In an ``.npy`` file of pictures."""


def search(folder: Path, text: str, top: int) -> list[Hit]:
    """The test images nearest to a text, the nearest first; ``NoDataError`` where it cannot be encoded."""
    run = load(folder)
    query = run.encode_texts([text])[0]
    similarity = run.gallery.images @ query
    manifest = run.cell.manifest
    source = sources.read(manifest.name)
    root = source.root(manifest.name)
    pictured = not datasets.holds_features(source.format)
    files = manifest.images.set_index("image_id")[["file", "row"]]
    hits = []
    for place, row in enumerate(similarity.argsort(descending=True, stable=True)[:top].tolist(), 1):
        name = run.gallery.image_ids[row]
        file, number = files.loc[name]
        where = str(root / file) if pictured and file else None
        hits.append(Hit(place, name, float(similarity[row]), where, int(number) if where and number >= 0 else None))
    return hits
