"""What changed between two versions of a dataset: the manifest at a git revision, and the one that is here now."""

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from negbench.pipelines import sources
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.manifest import COLUMNS, SPLITS, Manifest
from negbench.pipelines.sources import manifest_folder

EXAMPLES = 3
FILES = ("dataset.json", *(f"{kind}.parquet" for kind in COLUMNS))


@dataclass(frozen=True)
class Change:
    """One kind of change."""

    table: str
    """``images``, ``captions`` or ``judgements``."""
    change: str
    """``added``, ``removed``, ``changed``, ``moved``."""
    what: str
    """The same in words."""
    count: int
    examples: list[str]


@dataclass(frozen=True)
class Diff:
    """What changed, from the older version to the newer one."""

    name: str
    revision: str
    old: str
    """The manifest's hash at the revision."""
    new: str
    """The manifest's hash now."""
    changes: list[Change]


def diff(name: str, revision: str = "HEAD") -> Diff:
    """Compare the manifest that DVC recorded at a git revision with ``data/<name>/``."""
    sources.read(name)
    new = Manifest.read(manifest_folder(name))
    old = at(name, revision)
    return Diff(name, revision, old.hash, new.hash, changes(old, new))


def at(name: str, revision: str) -> Manifest:
    """The manifest of a dataset as DVC recorded it at a git revision, from the cache or the remote."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import RevError, SCMError

    folder = manifest_folder(name).as_posix()
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / name
        copy.mkdir()
        try:
            versions = DVCFileSystem(".", rev=revision)
            recorded = versions.ls(sources.DATA.as_posix(), detail=False)
            if folder not in recorded:
                raise RequestError(
                    f"{folder} is not recorded at {revision}: dvc.lock has no stage prepare@{name} there;"
                    " commit dvc.lock after bench data add"
                )
            for file in FILES:
                with versions.open(f"{folder}/{file}", "rb") as there, (copy / file).open("wb") as here:
                    shutil.copyfileobj(there, here)
        except RevError:
            raise RequestError(f"unknown git revision '{revision}'; git log -- dvc.lock lists some") from None
        except SCMError:
            raise RequestError("no git repository here: versions of data are those of its commits") from None
        except FileNotFoundError:
            raise DataError(
                f"{folder} of {revision} is neither in DVC's cache nor in its remote; run: dvc fetch --all-commits"
                " (and dvc push where it was made)"
            ) from None
        except DvcException as error:
            raise DataError(f"DVC cannot read {folder} at {revision}: {error}") from None
        try:
            return Manifest.read(copy)
        except DataError as error:
            raise DataError(f"{folder} at {revision}: {error}".replace(f"{scratch}/", "").partition(";")[0]) from None


def changes(old: Manifest, new: Manifest) -> list[Change]:
    """Every kind of change between two manifests, in the order of the tables."""
    found = [*_images(old, new), *_captions(old, new), *_judgements(old, new)]
    if not found and old.hash != new.hash:
        found = [Change("images", "moved", "rows in another order, nothing else", len(new.images), [])]
    return found


def _images(old: Manifest, new: Manifest) -> list[Change]:
    before, after = (side.images.set_index("image_id") for side in (old, new))
    both = before.merge(after, left_index=True, right_index=True, suffixes=("_old", "_new"))
    moved = both[both["split_old"] != both["split_new"]]
    content = both[both["content_old"] != both["content_new"]]
    place = both[(both["content_old"] == both["content_new"]) & (both["file_old"] != both["file_new"])]
    found = []
    for split in SPLITS:
        for way, one, other in (("added", after, before), ("removed", before, after)):
            rows = one[(one["split"] == split) & ~one.index.isin(other.index)]
            found += _some("images", way, f"{way} in {split}" if way == "added" else f"{way} from {split}", rows.index)
    for (source, target), rows in moved.groupby(["split_old", "split_new"]):
        found += _some("images", "moved", f"moved from {source} to {target}", rows.index)
    found += _some("images", "changed", "with other content", content.index)
    return found + _some(
        "images", "moved", "in another file, same content", place["file_old"] + " → " + place["file_new"]
    )


def _captions(old: Manifest, new: Manifest) -> list[Change]:
    before, after = (side.captions.set_index("caption_id") for side in (old, new))
    both = before.merge(after, left_index=True, right_index=True, suffixes=("_old", "_new"))
    text = both[both["text_old"] != both["text_new"]]
    owner = both[both["image_id_old"] != both["image_id_new"]]
    added, removed = after[~after.index.isin(before.index)], before[~before.index.isin(after.index)]
    said = [f"{row.Index}: {row.text_old!r} → {row.text_new!r}" for row in text.itertuples()]
    went = [f"{row.Index}: {row.image_id_old} → {row.image_id_new}" for row in owner.itertuples()]
    return [
        *_some("captions", "added", "added", [f"{row.Index}: {row.text!r}" for row in added.itertuples()]),
        *_some("captions", "removed", "removed", [f"{row.Index}: {row.text!r}" for row in removed.itertuples()]),
        *_some("captions", "changed", "with another text", said),
        *_some("captions", "moved", "moved to another image", went),
    ]


def _judgements(old: Manifest, new: Manifest) -> list[Change]:
    before, after = (_of_pairs(side.judgements) for side in (old, new))
    both = before.index.intersection(after.index)
    return [
        *_some("judgements", "added", "added", map(_pair, after.index.difference(before.index))),
        *_some("judgements", "removed", "removed", map(_pair, before.index.difference(after.index))),
        *_some(
            "judgements",
            "changed",
            "that say something else",
            [
                f"{_pair(key)}: {one:.2f} → {other:.2f}"
                for key, one, other in zip(both, before[both], after[both], strict=True)
                if one != other
            ],
        ),
    ]


def _of_pairs(judgements: pd.DataFrame) -> "pd.Series[float]":
    """``match`` by image, caption and source; the mean where a source judged a pair several times."""
    return judgements.groupby(["image_id", "caption_id", "source"])["match"].mean()


def _pair(key: tuple[str, str, str]) -> str:
    image, caption, source = key
    return f"{image} with {caption} ({source})"


def _some(table: str, change: str, what: str, examples: Iterable[str]) -> list[Change]:
    """A change, where there is any example."""
    listed = list(examples)
    return [Change(table, change, what, len(listed), listed[:EXAMPLES])] if listed else []
