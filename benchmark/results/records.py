"""The run record: written once, atomically; every table, plot and test is computed from records.

A record is a folder ``runs/<dataset>/<method-id>/seed-<n>/`` with ``run.json``, ``history.csv`` (a row per
epoch), ``ranks.npz`` (mid-ranks per test query, both directions), ``similarities.npz`` (histograms per epoch, and
of the test split), ``model.safetensors`` (the best epoch's weights) and ``method.safetensors`` (the method's state as
the last epoch left it: statistics, thresholds, learnt temperatures). That of a model which was trained elsewhere, in
``runs/<dataset>/external/<name>/seed-<n>/``, has ranks, and where its embeddings were given ``embeddings.safetensors``.
"""

import csv
import hashlib
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.evaluation.protocols import Measured, Protocol
from negbench.benchmark.recipe.external import External
from negbench.benchmark.recipe.schema import RunConfig, hashes_of_schema_1
from negbench.benchmark.results.place import RUNS as RUNS
from negbench.pipelines.atomic import Kind, whole, whole_below
from negbench.pipelines.errors import DataError, invalid
from negbench.pipelines.files import LARGEST, open_plain, read_bytes, read_json
from negbench.pipelines.sources.archives import limit_of

SCHEMA_VERSION: Literal[3] = 3
"""Earlier ones are read too. The digests of schema 1, which took in where a cell ran, are replaced by those of today;
up to schema 2 one key, ``head``, named the towers of both sides."""
AGAIN = "run the cell again with --force"
LARGEST_WEIGHTS = 2**32
"""Bytes of a file of weights; any other of a record has ``negbench.pipelines.files.LARGEST`` at the most."""
UNPACKED = 2**30
"""Bytes of an ``.npz`` once it is unpacked: a thousand times the ranks of COCO."""
KIND = Kind(
    "run record",
    "run.json",
    (
        *("history.csv", "ranks.npz", "similarities.npz"),
        *("model.safetensors", "method.safetensors", "embeddings.safetensors"),
    ),
)


BUSY = 0.9
"""Share of a processor below which a step time is of the machine rather than of the method."""


class Cost(BaseModel):
    """What a cell took."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wall_s: float
    """Whole training with validations, in seconds."""
    step_ms: float
    """Training step in milliseconds: the median over epochs after the warm-up of their mean step."""
    product_ms: float
    """The two bare similarity products of such a step, timed in the same run."""
    peak_mb: float
    """Peak resident memory of the process (or of the device), in MiB."""
    cpu_share: float | None = None
    """Share of its steps' time in which the training ran, on a CPU; below ``BUSY`` other work slowed it."""

    @property
    def ratio(self) -> float:
        """Step time over the bare products."""
        return self.step_ms / self.product_ms

    @property
    def busy(self) -> bool:
        """Whether the machine was: then its times are no cost."""
        return self.cpu_share is not None and self.cpu_share < BUSY


class RunRecord(BaseModel):
    """``run.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1, 2, 3] = SCHEMA_VERSION
    status: Literal["done", "collapsed", "failed"]
    error: str | None = None
    """One line, where the run failed, or, where ``status`` says otherwise, its audit alone."""
    method_id: str
    config: RunConfig | None = None
    """None of a model that was trained elsewhere."""
    external: External | None = None
    """What is known of such a model."""
    config_hash: str
    recipe_hash: str
    manifest_hash: str
    features_hash: str
    protocol: Protocol
    metrics: dict[str, float] = {}
    """Of the test split: ``i2t_r1 i2t_r5 i2t_r10 i2t_medr i2t_meanr``, the same for ``t2i``, ``rsum`` and ``mr``;
    the recalls, ``r_precision`` and ``map_at_r`` with extended positives, each behind its name: ``true_i2t_r1`` where
    the truth of every pair is known, otherwise ``extended_i2t_r1``, on COCO also ``eccv_`` and ``cxc_``
    (docs/metrics.md)."""
    others: tuple[Measured, ...] = ()
    """What further protocols of the dataset make of the same test."""
    audit: dict[str, float] = {}
    """Of false negatives in the test split, where pairs are judged or the truth is known; ``docs/audit.md`` says what
    each figure is. ``pushed_i2t`` is the share of what pushes an image that comes from texts true of it."""
    validation: dict[str, float] = {}
    """The same of the validation split, at the best epoch."""
    files: dict[str, str] = {}
    """sha256 of each other file of the folder by its name; empty in records older than this key."""
    ranks_sha256: str = ""
    """Of ``ranks.npz``; empty where the run failed, and in records older than this key."""
    best_epoch: int | None = None
    false_negative_rate: dict[str, float] = {}
    """Share of chosen negatives that are true of their anchor, over all epochs after the warm-up: ``i2t``,
    ``t2i``, ``both``. Empty where the truth is not known or the method chooses no single negative."""
    cost: Cost | None = None
    code_hash: str = ""
    """Digest of the code that decides the numbers (``recipe.identity``)."""
    commit: str | None = None
    dirty: bool | None = None
    versions: dict[str, str] = {}
    device: str = ""
    created: str = ""
    """UTC, ISO 8601."""

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "RunRecord":
        if self.config is None and self.external is None:
            raise ValueError("config: is missing")
        if self.config is not None and self.external is not None:
            raise ValueError("external: trained elsewhere, but it has a config")
        return self

    @property
    def about(self) -> RunConfig | External:
        """What was trained, here or elsewhere."""
        found = self.config or self.external
        assert found is not None, "as validated"
        return found

    @property
    def dataset(self) -> str:
        return self.about.dataset

    @property
    def seed(self) -> int:
        return self.about.seed


class RecordError(NoDataError):
    """A record that cannot be read; ``reason`` says why and what to do."""

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = f"{reason}; {AGAIN}"
        super().__init__(f"{path}: {self.reason}")


def read(folder: Path) -> RunRecord:
    """Read one record, without a look at what it says (``believed`` does that); ``RecordError`` where it is none."""
    path = whole(folder) / "run.json"
    try:
        return _of_today(RunRecord.model_validate(read_json(path)))
    except DataError as error:
        reason = str(error).removeprefix(f"{path}:")
        raise RecordError(path, f"line {reason}" if reason[:1].isdigit() else reason.strip()) from None
    except ValidationError as error:
        for fault in error.errors():
            if fault["loc"] == ("schema_version",):
                reason = f"schema version {fault['input']!r}, not 1 to {SCHEMA_VERSION}"
                raise RecordError(path, reason) from None
        raise RecordError(path, invalid(error)) from None


def _of_today(record: RunRecord) -> RunRecord:
    """A record of any schema with the digests of this one; those that are wrong stay, to be found wrong."""
    config = record.config
    if config is None or record.schema_version > 1:
        return record
    if any(getattr(record, name) != value for name, value in hashes_of_schema_1(config).items()):
        return record
    return record.model_copy(update={"config_hash": config.hash, "recipe_hash": config.recipe_hash})


def check_file(path: Path) -> None:
    """``NoDataError`` where a file of a record is missing, no plain file, or too large to be one."""
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
    except (OSError, DataError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).removeprefix(f"{path}: ")
        raise NoDataError(f"{path}: {reason}; {AGAIN}") from None
    if size > (LARGEST_WEIGHTS if path.suffix == ".safetensors" else LARGEST):
        raise NoDataError(f"{path}: {size / 1e6:,.0f} MB, too large for what it should be; {AGAIN}")


def check_arrays(path: Path) -> None:
    """``NoDataError`` where an ``.npz`` of a record is no plain file or unpacks to more than it should."""
    check_file(path)
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:  # whoever reads it says that it is none
        size = sum(member.file_size for member in archive.infolist())
        if size > min(UNPACKED, limit_of(path)):
            raise NoDataError(f"{path}: unpacks to {size / 1e6:,.0f} MB, too large for what it should be; {AGAIN}")


def history(folder: Path, record: RunRecord) -> list[dict[str, str]]:
    """``history.csv``, a row per epoch; ``NoDataError`` where it is missing, edited or no CSV."""
    path = folder / "history.csv"
    try:
        return [*csv.DictReader(content(folder, record, path.name).decode().splitlines())]
    except (UnicodeDecodeError, csv.Error):
        raise NoDataError(f"{path}: missing or broken; {AGAIN}") from None


def content(folder: Path, record: RunRecord, name: str) -> bytes:
    """A file of a record; ``NoDataError`` where it is missing, or not the one that ``run.json`` tells of."""
    path = folder / name
    check_file(path)
    data = read_bytes(path)
    if record.files and hashlib.sha256(data).hexdigest() != record.files.get(name):
        raise NoDataError(f"{path}: cut off or edited, it is not the file that run.json tells of; {AGAIN}")
    return data


def folders(root: Path = RUNS) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Folders below ``root`` that hold a record, in the order of their paths, and folders that cannot be read: why.

    Links are followed, and a folder that several of them lead to counts once. Hidden ones are a writer's scratch.
    """
    whole_below(root)
    found: list[Path] = []
    closed: list[tuple[Path, str]] = []
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        if error.filename != str(root):
            closed.append((Path(error.filename), str(error.strerror)))

    for place, below, names in os.walk(root, followlinks=True, onerror=refuse):
        if (real := os.path.realpath(place)) in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        if "run.json" in (*names, *below):
            found.append(Path(place))
    return sorted(found), closed
