"""A closer look at a registered dataset: what a person should know before trusting numbers made on it."""

from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines import prepare, sources
from pipelines.errors import DataError
from pipelines.files import file_digest
from pipelines.known import KNOWN
from pipelines.manifest import Manifest
from pipelines.sources import manifest_folder
from pipelines.truth import Truth

POSITIVE = {"expert": 0.6, "crowd": 0.5}
"""A judged pair matches from here on: two of three experts say 3 of 4 (2/3), half of the crowd says yes."""


@dataclass(frozen=True)
class Report:
    """What ``bench data check`` found. ``errors`` make the data unusable, ``warnings`` are worth knowing."""

    name: str
    splits: dict[str, dict[str, Any]]
    """Per split: images, expected images where known, captions, fewest and most captions of an image."""
    facts: dict[str, Any]
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check(name: str) -> Report:
    """Look at a dataset's manifest, its source's files, and the truth where it is known."""
    source = sources.read(name)
    manifest = Manifest.read(manifest_folder(name))
    report = Report(name, _splits(manifest), {"hash": manifest.hash, "format": source.format})
    if not prepare.is_current(name, source):
        report.errors.append(f"data/{name}.yaml changed since data/{name} was built; run: bench data prepare {name}")
    for split, row in report.splits.items():
        if row["expected"] not in (None, row["images"]):
            report.warnings.append(f"{split} has {row['images']:,} images, {row['expected']:,} are usual")
    _source_files(report, manifest, source.root(name), source.folder(name))
    _duplicates(report, manifest)
    report.facts["skipped"] = manifest.info.get("skipped", {})
    if len(manifest.judgements):
        report.facts["judgements"] = judged(manifest.judgements, manifest.captions)
    truth = Truth.read(manifest_folder(name))
    if truth is not None:
        report.facts["truth"] = _calibration(source.format, manifest, truth)
    return report


def judged(judgements: pd.DataFrame, captions: pd.DataFrame) -> dict[str, int]:
    """Judged pairs of an image with another image's caption, and how many are confirmed false negatives.

    A pair judged by both counts as the experts say.
    """
    frame = judgements.assign(
        positive=judgements["match"] >= judgements["source"].map(POSITIVE).fillna(0.5),
        expert=judgements["source"] == "expert",
        own=judgements["caption_id"].map(captions.set_index("caption_id")["image_id"]),
    )
    frame = frame.sort_values("expert", ascending=False, kind="stable").drop_duplicates(["image_id", "caption_id"])
    other = frame[frame["own"] != frame["image_id"]]
    return {
        "rows": len(judgements),
        "pairs": len(frame),
        "pairs with another image's caption": len(other),
        "confirmed false negatives": int(other["positive"].sum()),
    }


def _splits(manifest: Manifest) -> dict[str, dict[str, Any]]:
    each = manifest.captions["image_id"].value_counts()
    per_image = manifest.images["image_id"].map(each).fillna(0).astype(int)
    expected = KNOWN[manifest.name].counts if manifest.name in KNOWN else {}
    rows = {}
    for split, count in manifest.counts().items():
        own = per_image[manifest.images["split"] == split]
        rows[split] = {
            **count,
            "expected": expected.get(split),
            "captions_per_image": [int(own.min()), int(own.max())] if len(own) else [0, 0],
        }
    return rows


def _source_files(report: Report, manifest: Manifest, root: Path, folder: Path) -> None:
    """Compare the source's files with what the manifest was made from."""
    changed = []
    if manifest.info.get("images_are") == "pictures":
        for file, content in manifest.images[["file", "content"]].itertuples(index=False):
            changed += _changed(root / file, content)
    report.facts["pictures changed or missing"] = len(changed)
    if changed:
        report.errors.append(f"{len(changed):,} pictures changed or are missing since they were added; {changed[0]}")
    for file, content in manifest.info.get("files", {}).items():
        report.errors.extend(_changed(folder / file, content))


def _changed(path: Path, content: str) -> list[str]:
    if not path.exists():
        return [f"{path} is missing"]
    return [] if file_digest(path) == content else [f"{path} changed since it was added"]


def _duplicates(report: Report, manifest: Manifest) -> None:
    texts = manifest.captions[["image_id", "text"]]
    distinct = texts.drop_duplicates()
    shared = distinct[distinct["text"].duplicated(keep=False)]
    contents = manifest.images[manifest.images["content"] != ""]
    copies = contents[contents["content"].duplicated(keep=False)]
    leaking = int((copies.groupby("content")["split"].nunique() > 1).sum())
    report.facts.update(
        {
            "captions repeated within an image": len(texts) - len(distinct),
            "captions shared by several images": len(shared),
            "images with a copy": len(copies),
            "images with a copy in another split": leaking,
        }
    )
    if leaking:
        report.warnings.append(f"{leaking:,} pictures stand in more than one split")


def _calibration(source_format: str, manifest: Manifest, truth: Truth) -> dict[str, Any]:
    """How many pairs are true beyond the labelled ones, as the format's own module counts them."""
    for module in ("pipelines.truth", f"pipelines.datasets.{source_format.replace('-', '_')}"):
        if find_spec(module) and (calibration := getattr(import_module(module), "calibration", None)):
            return dict(calibration(manifest, truth, "test"))
    raise DataError(f"format '{source_format}' writes truth.npz but has no calibration(manifest, truth, split)")
