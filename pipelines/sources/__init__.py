"""Registered datasets: ``data/<name>.yaml`` says what a dataset is made from and how to read it.

It stands beside the folder ``data/<name>/`` that holds the manifest. The fingerprint is a digest over the
source's files, so that DVC, which tracks this small file, notices when they change.
"""

import io
import os
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML

from negbench.pipelines.atomic import write_text
from negbench.pipelines.errors import DataError, RequestError, invalid, unknown
from negbench.pipelines.files import is_part, read_yaml
from negbench.pipelines.names import DATASET, check_dataset
from negbench.pipelines.sources.known import KNOWN

DATA = Path("data")
FEATURES = Path("features")
RAW = Path("raw")
"""Where archives and downloads are unpacked, a folder for each dataset."""
WORK = Path(".bench")
"""What is not finished: downloads, features."""


class Origin(BaseModel):
    """An archive or a download that files came in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: str
    """A URL without user, password and query, or a file's name."""
    sha256: str | None = None
    """None for a folder of an object store."""


class Source(BaseModel):
    """One registered dataset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str
    """Name of the reader: a file of ``pipelines/datasets/``."""
    path: str | None = None
    """Folder of the source's files, relative to the project's root or absolute; none for generated data."""
    origin: list[Origin] | None = None
    """What the files of ``path`` came in; None where ``path`` is the source itself."""
    encoder: str
    """The encoder used when none is named."""
    fingerprint: str | None = None
    """Digest over the source's files."""
    takes_out: bool = False
    """Images are inside the source's files and were taken out into ``data/<name>/``."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What the reader is told besides the path."""

    def root(self, name: str) -> Path:
        """The folder that ``file`` in the manifest is relative to."""
        return Path(self.path) if self.path is not None and not self.takes_out else manifest_folder(name)

    def folder(self, name: str) -> Path:
        """The folder of the source's own files."""
        return Path(self.path) if self.path is not None else manifest_folder(name)


def manifest_folder(name: str) -> Path:
    return DATA / check_dataset(name)


def store_folder(name: str, encoder: str) -> Path:
    if not is_part(encoder):
        raise RequestError(f"encoder '{encoder[:100]}' cannot name a folder; it is <image encoder>+<text encoder>")
    return FEATURES / check_dataset(name) / encoder


def names() -> list[str]:
    """Names of the registered datasets."""
    return sorted(path.stem for path in DATA.glob("*.yaml") if DATASET.fullmatch(path.stem))


def check_apart(name: str, path: Path | None, said: str, *more: Path) -> None:
    """``RequestError`` where what is read and what is written would overlap, in either direction, links followed.

    Neither may ``path`` touch what is written for this dataset (``more`` besides manifest and features) or another,
    nor what is written for this one the source of another. ``said`` is what named ``path``.
    """
    own = [manifest_folder(name), FEATURES / name, *more]
    _check_links(name, [registration(name), *own])
    theirs = [DATA / other for other in names()]
    for place in [*own, *theirs, FEATURES, WORK] if path is not None else []:
        if path is not None and _overlap(path, place):
            where = f"to {RAW / name}/ and add them from there" if path.is_dir() else "to another folder"
            raise RequestError(
                f"{said}: bench writes {place}/, so no source may lie in it or hold it; move the files {where}"
            )
    for other, source in others(name):
        for place in own:
            if _overlap(source, place):
                raise RequestError(
                    f"{place}/ would be written, but dataset '{other}' is read from {source}; add '{other}' from"
                    f" another folder first (--replace), or remove {registration(other)}"
                )


def _check_links(name: str, own: Iterable[Path]) -> None:
    """``RequestError`` where a link leads from what is written for a dataset to what belongs to another."""
    for other in names():
        theirs = [registration(other), *(folder / other for folder in (DATA, FEATURES, RAW))]
        for place, their in product(own, theirs) if other != name else ():
            if _overlap(place, their):
                raise RequestError(f"{place} leads to {their} of dataset '{other}'; remove the link {place}")


def others(name: str = "") -> Iterator[tuple[str, Path]]:
    """The datasets that read a folder, all but ``name``, and which one."""
    for other in names():
        if other == name:
            continue
        try:
            path = read(other).path
        except DataError:  # its own commands tell of it
            continue
        if path is not None:
            yield other, Path(path)


def _overlap(one: Path, other: Path) -> bool:
    """Whether one folder is the other, or lies in it."""
    one, other = (Path(os.path.realpath(path)) for path in (one, other))
    return one.is_relative_to(other) or other.is_relative_to(one)


def read(name: str) -> Source:
    """The registration of a dataset; ``DataError`` with the nearest name, or with how to add a well-known one."""
    path = registration(name)
    if not DATA.is_dir():
        raise DataError(f"no folder {DATA}/ here: run bench in the folder of the project, where params.yaml stands")
    if not path.exists():
        if name in KNOWN:
            raise DataError(KNOWN[name].how_to_add(name))
        raise DataError(unknown("dataset", name, {*names(), *KNOWN}))
    try:
        return Source.model_validate(read_yaml(path))
    except ValidationError as error:
        raise DataError(f"{path}: {invalid(error, Source.model_fields)}") from None


def registration(name: str) -> Path:
    """The file that registers a dataset."""
    return DATA / f"{check_dataset(name)}.yaml"


def text(source: Source) -> str:
    """What stands in a registration."""
    out = io.StringIO()
    YAML().dump(source.model_dump(exclude_defaults=True), out)
    return out.getvalue()


def write(name: str, source: Source) -> None:
    """Register a dataset that is built later."""
    write_text(registration(name), text(source))
