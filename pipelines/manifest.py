"""The one internal form of a dataset: which caption belongs to which image, in which split.

A manifest is a folder ``data/<dataset>/``:

=====================  ====================================================================
``images.parquet``     ``image_id, split, file, row, content``
``captions.parquet``   ``caption_id, image_id, text``
``judgements.parquet`` ``image_id, caption_id, match, source`` (may be empty)
``dataset.json``       name, format, licence, source, counts per split, what was skipped, hash
=====================  ====================================================================

``file`` is relative to the root of the source (``negbench.pipelines.sources``). Where it is an ``.npy`` file,
``row`` is the row in it: ``[n, H, W, 3]`` uint8 for pictures, ``[n, D]`` for precomputed features.
``content`` is a hash of the picture's bytes, so that a changed picture changes the manifest.
Other files may stand beside these, ``truth.npz`` for one (``negbench.pipelines.truth``).
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from negbench.pipelines.atomic import Kind, whole, write_text
from negbench.pipelines.errors import DataError, damage
from negbench.pipelines.files import leaves, read_json

SPLITS = ("train", "val", "test")
FEWEST = 10
"""Images that val and test need for recalls up to R@10."""
SCHEMA_VERSION = 1
KIND = Kind(
    "manifest",
    "judgements.parquet",
    (
        *("dataset.json", "images.parquet", "captions.parquet", "truth.npz", "images.npy", "features.npy"),
        *("images", "images/" + "[0-9a-f]" * 32 + ".*"),
    ),
)
"""Besides the tables: what is taken out of a source's files, and the truth. Sources have files ``dataset.json``, too:
no mark of ours."""
KEYS: dict[str, type] = {
    "name": str,
    "hash": str,
    "counts": dict,
    "registration": str,
    "truth": str,
    "files": dict,
    "noise": dict,
    "skipped": dict,
    "rows": dict,
    "split_by_id": int,
    "unused": dict,
    "dialects": dict,
    "settings": dict,
    "notes": list,
}
"""Keys of ``dataset.json`` that something reads, and what they hold."""
NEEDED = ("name", "hash", "counts")
COLUMNS = {
    "images": {"image_id": "str", "split": "str", "file": "str", "row": "int64", "content": "str"},
    "captions": {"caption_id": "str", "image_id": "str", "text": "str"},
    "judgements": {"image_id": "str", "caption_id": "str", "match": "float64", "source": "str"},
}


def table(kind: str, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """A table of ``kind`` (``images``, ``captions``, ``judgements``) with the manifest's column types."""
    columns = COLUMNS[kind]
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


@dataclass(frozen=True)
class Manifest:
    """A dataset's tables. Rows of ``captions`` follow the order of ``images`` within a split."""

    name: str
    images: pd.DataFrame
    captions: pd.DataFrame
    judgements: pd.DataFrame = field(default_factory=lambda: table("judgements", []))
    info: dict[str, Any] = field(default_factory=dict)
    """What ``dataset.json`` says besides counts and hash: format, source, licence, skipped rows, ..."""

    @property
    def hash(self) -> str:
        """Hex digest over the content of all tables, and the truth: the same on every machine and library version."""
        digest, encode = hashlib.blake2b(digest_size=16), json.JSONEncoder(ensure_ascii=False).encode
        for kind in COLUMNS:
            frame: pd.DataFrame = getattr(self, kind)
            digest.update(kind.encode())
            columns = [frame[name].tolist() for name in frame.columns]
            for row in zip(*columns, strict=True):
                digest.update(encode(row).encode())
        if self.info.get("truth"):
            digest.update(f"truth {self.info['truth']}".encode())
        return digest.hexdigest()

    def counts(self) -> dict[str, dict[str, int]]:
        """Images and captions per split."""
        splits = self.captions["image_id"].map(self.images.set_index("image_id")["split"])
        return {
            split: {
                "images": int((self.images["split"] == split).sum()),
                "captions": int((splits == split).sum()),
            }
            for split in SPLITS
        }

    def check(self) -> None:
        """Raise ``DataError`` where the tables contradict each other or the contract."""
        for kind, columns in COLUMNS.items():
            frame: pd.DataFrame = getattr(self, kind)
            if list(frame.columns) != list(columns):
                raise DataError(f"{self.name}: {kind} has columns {list(frame.columns)}, not {list(columns)}")
        for kind, key in (("images", "image_id"), ("captions", "caption_id")):
            ids = getattr(self, kind)[key]
            if ids.duplicated().any():
                raise DataError(f"{self.name}: {key} '{ids[ids.duplicated()].iloc[0]}' stands twice in {kind}")
        for image_id, file in self.images[["image_id", "file"]].itertuples(index=False):
            if leaves(image_id) or leaves(file):
                raise DataError(f"{self.name}: image '{image_id}' ({file}) leaves the folder of the dataset")
        for split in sorted(set(self.images["split"]) - set(SPLITS)):
            raise DataError(f"{self.name}: split '{split}' is none of {', '.join(SPLITS)}")
        for kind in ("captions", "judgements"):
            ids = getattr(self, kind)["image_id"]
            if not (known := ids.isin(self.images["image_id"])).all():
                raise DataError(f"{self.name}: {kind} name the unknown image '{ids[~known].iloc[0]}'")
        ids = self.judgements["caption_id"]
        if not (known := ids.isin(self.captions["caption_id"])).all():
            raise DataError(f"{self.name}: judgements name the unknown caption '{ids[~known].iloc[0]}'")
        empty = self.captions["text"].str.strip() == ""
        if empty.any():
            raise DataError(f"{self.name}: caption '{self.captions['caption_id'][empty].iloc[0]}' is empty")

    def write(self, folder: Path) -> None:
        """Write the tables and ``dataset.json`` into ``folder``; use inside ``atomic.new_folder``."""
        self.check()
        folder.mkdir(parents=True, exist_ok=True)
        for kind in COLUMNS:
            frame: pd.DataFrame = getattr(self, kind)
            frame.to_parquet(folder / f"{kind}.parquet", index=False)
        info = {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "hash": self.hash,
            "counts": self.counts(),
            **self.info,
        }
        write_text(folder / "dataset.json", json.dumps(info, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read a manifest and check its hash."""
        info = read_info(folder)
        frames = {}
        for kind, columns in COLUMNS.items():
            path = folder / f"{kind}.parquet"
            try:
                frames[kind] = pd.read_parquet(path).astype(columns)
            except Exception as error:  # pyarrow raises whatever the damaged bytes lead it to
                again = f"make it again with: bench data prepare {folder.name}"
                raise DataError(f"{path}: {damage(error)}; {again}") from None
        stated = info.pop("hash")
        manifest = cls(info.pop("name"), **frames, info=info)
        if manifest.hash != stated:
            raise DataError(f"{folder}: changed after it was written; run: bench data prepare {folder.name}")
        return manifest


def read_info(folder: Path) -> dict[str, Any]:
    """``dataset.json`` of a manifest, without reading its tables; ``DataError`` names the key that is wrong."""
    path = whole(folder) / "dataset.json"
    again = f"make it again with: bench data prepare {folder.name}"
    if not path.exists():
        raise DataError(f"{path} is missing; make it with: bench data prepare {folder.name}")
    try:
        info = read_json(path)
    except DataError as error:
        raise DataError(f"{error}; {again}") from None
    if not isinstance(info, dict) or info.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{path}: no file of schema version {SCHEMA_VERSION}; {again}")
    for key, kind in KEYS.items():
        if not isinstance(info.get(key, kind()), kind) or (key in NEEDED and key not in info):
            raise DataError(f"{path}: {key}: missing or of a wrong type; {again}")
    for split, counts in info["counts"].items():
        if not isinstance(counts, dict) or not all(isinstance(counts.get(key), int) for key in ("images", "captions")):
            raise DataError(f"{path}: counts.{split}: not a number of images and captions; {again}")
    return info
