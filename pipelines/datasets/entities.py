"""Flickr30K Entities: Flickr30K's pictures and captions under the split of the phrase localisation papers.

Files of the folder: the pictures and captions as in ``negbench.pipelines.datasets.tokens``
(``results_20130124.token``, ...), ``train.txt``, ``val.txt``, ``test.txt`` (29,783, 1,000 and 1,000 ids without
suffix), and ``UNRELATED_CAPTIONS``: lines ``image sentence`` with sentences from 1, captions known not to be of their
image. They stay labelled, and become judgements (source ``entities``) that they do not match.

It is another split than Karpathy's: of his 1,000 test images 944 are in this train split, so neither numbers nor
trained models may be mixed. Where his file lies beside (``--format entities`` then), the overlap is counted.

Source: B. Plummer et al. (2017), Flickr30K Entities, IJCV 123.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from negbench.pipelines.datasets import karpathy, tokens
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import file_digest
from negbench.pipelines.manifest import Manifest, table
from negbench.pipelines.reading.annotations import Faults, annotation_files, line_count, lines, read_json
from negbench.pipelines.reading.caption_rows import account
from negbench.pipelines.reading.split_files import split_files
from negbench.pipelines.sources import Source

UNRELATED = "UNRELATED_CAPTIONS"
REMARKS = "remarks and blank lines"
SOURCE = "entities"
"""Source of the judgements."""
USUAL = "another split than Karpathy's, of whose 1,000 test images 944 are in this train split: compare with neither"


def detect(folder: Path) -> str | None:
    """The list of unrelated captions."""
    return UNRELATED if (folder / UNRELATED).is_file() else None


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture of a split is decoded."""
    root = source.root(name)
    splits = [(split, path) for split, path in split_files(root) if path.stem in ("train", "val", "test")]
    if len(splits) != 3:
        raise DataError(f"{root}: needs train.txt, val.txt and test.txt, the ids of the Entities split")
    manifest = tokens.read(name, source, splits)
    faults = Faults(bool(source.settings.get("skip_bad")))
    left_out = Counter[str]()
    judgements = _judgements(root / UNRELATED, manifest, faults, left_out)
    left_out[f"bad lines of {UNRELATED}"] = len(faults.found)
    rows = account(f"{name}: judgements", line_count(root / UNRELATED), len(judgements), left_out)
    manifest.info["judgement rows"] = rows
    manifest.info["skipped"] |= {what: number for what, number in rows["left out"].items() if what != REMARKS}
    manifest.info["bad"] += faults.found
    manifest.info["files"][UNRELATED] = file_digest(root / UNRELATED)
    manifest.info["notes"] = [
        f"{len(judgements):,} captions are known to be of no picture (judgements, {SOURCE})",
        _overlap(root, manifest),
    ]
    return replace(manifest, judgements=table("judgements", judgements))


def _judgements(path: Path, manifest: Manifest, faults: Faults, left_out: Counter[str]) -> list[tuple[Any, ...]]:
    """Rows of the table; lines that make none are counted in ``left_out``."""
    image_of = dict(zip(manifest.captions["caption_id"], manifest.captions["image_id"], strict=True))
    of_stem = {Path(image).stem: image for image in manifest.images["image_id"]}
    rows: dict[str, tuple[Any, ...]] = {}
    for number, line in lines(path, faults):
        if line.startswith("#") or not line.strip():
            left_out[REMARKS] += 1
            continue
        with faults.row():
            image, _, sentence = line.strip().partition(" ")
            if not sentence.isdecimal() or not int(sentence):
                raise DataError(f"{path}:{number}: not an image's id and the number of a sentence: {line[:60]!r}")
            caption = f"{of_stem.get(image, image)}#{int(sentence) - 1}"
            if caption in rows:
                raise DataError(f"{path}:{number}: {line[:60]!r} stands twice")
            if caption in image_of:
                rows[caption] = (image_of[caption], caption, 0.0, SOURCE)
            else:
                left_out["unrelated captions of images in no split"] += 1
    return list(rows.values())


def _overlap(root: Path, manifest: Manifest) -> str:
    """How the split lies to Karpathy's: counted where his file is there."""
    if not annotation_files(root, *karpathy.PATTERNS):
        return USUAL
    whole = read_json(karpathy.file(root, "f30k"))
    images = whole.get("images") if isinstance(whole, dict) else None
    tested = {
        str(image.get("filename"))
        for image in (images if isinstance(images, list) else [])
        if isinstance(image, dict) and image.get("split") == "test"
    }
    train = set(manifest.images["image_id"][manifest.images["split"] == "train"])
    return (
        f"another split than Karpathy's, of whose {len(tested):,} test images {len(tested & train):,} are in this train"
        " split: compare with neither"
    )
