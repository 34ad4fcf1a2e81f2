"""Registered datasets: ``data/<name>.yaml`` says what a dataset is made from and how to read it.

It stands beside the folder ``data/<name>/`` that holds the manifest. The fingerprint is a digest over the
source's files, so that DVC, which tracks this small file, notices when they change.
"""

import io
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML

from pipelines.atomic import write_text
from pipelines.errors import DataError, invalid, unknown
from pipelines.files import read_yaml
from pipelines.known import KNOWN

DATA = Path("data")
FEATURES = Path("features")
RAW = Path("raw")
"""Where archives and downloads are unpacked, a folder for each dataset."""


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
    return DATA / name


def store_folder(name: str, encoder: str) -> Path:
    return FEATURES / name / encoder


def names() -> list[str]:
    """Names of the registered datasets."""
    return sorted(path.stem for path in DATA.glob("*.yaml"))


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
    return DATA / f"{name}.yaml"


def text(source: Source) -> str:
    """What stands in a registration."""
    out = io.StringIO()
    YAML().dump(source.model_dump(exclude_defaults=True), out)
    return out.getvalue()


def write(name: str, source: Source) -> None:
    """Register a dataset that is built later."""
    write_text(registration(name), text(source))
