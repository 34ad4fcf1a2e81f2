"""Flickr8k's own files: images, captions, three split files, expert and crowd judgements.

Files of the folder: the pictures (anywhere below it), ``Flickr8k.token.txt`` or ``captions.txt`` as in
``negbench.pipelines.datasets.tokens``, ``Flickr_8k.{train,dev,test}Images.txt``, and where they are there
``ExpertAnnotations.txt`` and ``CrowdFlowerAnnotations.txt``.

Images come in the order of the split files. What real files have too much of is left out and counted: images
in no split, captions of unknown images, judgements of such pairs. Everything else that is wrong is an error.

Source: M. Hodosh, P. Young, J. Hockenmaier (2013), Framing Image Description as a Ranking Task, JAIR 47.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from negbench.pipelines.datasets import tokens
from negbench.pipelines.files import file_digest
from negbench.pipelines.manifest import Manifest, table
from negbench.pipelines.reading.annotations import Faults, line_count, lines
from negbench.pipelines.reading.caption_rows import account
from negbench.pipelines.sources import Source

SPLIT_FILES = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
EXPERT, CROWD = "ExpertAnnotations.txt", "CrowdFlowerAnnotations.txt"


def detect(folder: Path) -> str | None:
    """A split file."""
    return next((file for file in SPLIT_FILES.values() if (folder / file).exists()), None)


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture of a split is decoded."""
    root = source.root(name)
    splits = [(split, root / file) for split, file in SPLIT_FILES.items()]
    manifest = tokens.read(name, source, splits)
    images, captions = set(manifest.images["image_id"]), set(manifest.captions["caption_id"])
    faults, left_out = Faults(bool(source.settings.get("skip_bad"))), Counter[str]()
    judgements, judged_files = _judgements(root, images, captions, left_out, faults)
    left_out["bad rows"] = len(faults.found)
    seen = sum(line_count(root / file) for file in judged_files)
    manifest.info["judgement rows"] = account(f"{name}: judgements", seen, len(judgements), left_out)
    skipped = Counter(manifest.info["skipped"]) + left_out
    manifest.info["skipped"] = {what: number for what, number in sorted(skipped.items()) if number}
    manifest.info["bad"] += faults.found
    manifest.info["files"] |= {file: file_digest(root / file) for file in judged_files}
    return replace(manifest, judgements=table("judgements", judgements))


def _judgements(
    root: Path, images: set[str], captions: set[str], left_out: Counter[str], faults: Faults
) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Rows of the table and the files they come from; pairs outside the manifest are counted in ``left_out``."""
    rows = []
    files = []
    for file, origin, rate in ((EXPERT, "expert", _expert), (CROWD, "crowd", _crowd)):
        if not (root / file).exists():
            continue
        files.append(file)
        for number, line in lines(root / file, faults):
            fields = line.split("\t")
            match = rate(fields[2:]) if len(fields) == 5 else None
            if match is None:
                faults.add(f"{root / file}:{number}: not image, caption id and {rate.__doc__}: {line[:80]!r}")
            elif fields[0] in images and fields[1] in captions:
                rows.append((fields[0], fields[1], match, origin))
            else:
                left_out[f"{origin} judgements of unknown pairs"] += 1
    return rows, files


def _expert(scores: list[str]) -> float | None:
    """three scores from 1 to 4"""
    if any(score not in ("1", "2", "3", "4") for score in scores):
        return None
    return (median(int(score) for score in scores) - 1) / 3


def _crowd(votes: list[str]) -> float | None:
    """share of yes, yes, no"""
    try:
        share, yes, no = float(votes[0]), int(votes[1]), int(votes[2])
    except ValueError:
        return None
    return share if 0 <= share <= 1 and yes >= 0 and no >= 0 else None
