"""A closer look at a registered dataset: what a person should know before trusting numbers made on it.

A check looks for one class of faults. It is a function of ``CHECKS`` that yields what it found: errors make the
data unusable, warnings are worth knowing. It never ends at the first fault.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from negbench.pipelines import captions, equal_texts, noise, prepare, sources
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import Progress, file_digest, leaves, silent
from negbench.pipelines.judgements import verdicts
from negbench.pipelines.manifest import SPLITS, Manifest
from negbench.pipelines.reading import pictures
from negbench.pipelines.reading.pictures import Fault, PictureError
from negbench.pipelines.sources import FEATURES, Source, manifest_folder
from negbench.pipelines.sources.known import KNOWN
from negbench.pipelines.store import read_info
from negbench.pipelines.text import counted, is_unseen
from negbench.pipelines.truth import Truth, ambiguity_of

EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """One class of faults that a dataset has."""

    check: str
    """Stable name of the class, for programs."""
    what: str
    count: int
    examples: list[str]
    todo: str


@dataclass(frozen=True)
class Report:
    """What ``bench data check`` found. ``errors`` make the data unusable, ``warnings`` are worth knowing."""

    name: str
    splits: dict[str, dict[str, Any]]
    """Per split: images, expected images where known, captions, fewest and most captions of an image, and the pairs
    of an image with another image's caption that are true because the image has an equal caption."""
    facts: dict[str, Any]
    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Subject:
    """What is looked at."""

    name: str
    source: Source
    manifest: Manifest
    splits: dict[str, dict[str, Any]]
    progress: Progress

    @property
    def root(self) -> Path:
        return self.source.root(self.name)

    @property
    def again(self) -> str:
        """The command that reads the source again."""
        if self.source.path is None:
            return f"bench data prepare {self.name}"
        return prepare.add_again(self.name, self.source, self.source.path)

    @property
    def captions(self) -> pd.DataFrame:
        """The captions, noise undone, with the ``split`` of their image and what is the ``same`` in equal ones."""
        split_of = self.manifest.images.drop_duplicates("image_id").set_index("image_id")["split"]
        frame = noise.undone(self.manifest)
        return frame.assign(split=frame["image_id"].map(split_of), same=frame["text"].map(captions.same))


Level = Literal["error", "warning"]
Findings = Iterator[tuple[Level, Finding]]


def check(name: str, progress: Progress = silent) -> Report:
    """Look at a dataset's manifest, at every file of its source, and at the truth where it is known."""
    source = sources.read(name)
    manifest = Manifest.read(manifest_folder(name))
    subject = Subject(name, source, manifest, _splits(manifest), progress)
    report = Report(name, subject.splits, _facts(subject))
    for look in CHECKS:
        for level, finding in look(subject):
            (report.errors if level == "error" else report.warnings).append(finding)
    return report


def judged(judgements: pd.DataFrame, captions: pd.DataFrame) -> dict[str, int]:
    """Judged pairs of an image with another image's caption, and how many are confirmed false negatives.

    A pair judged by both counts as the experts say.
    """
    frame = verdicts(judgements)
    own = frame["caption_id"].map(captions.drop_duplicates("caption_id").set_index("caption_id")["image_id"])
    other = frame[own != frame["image_id"]]
    return {
        "rows": len(judgements),
        "pairs": len(frame),
        "pairs with another image's caption": len(other),
        "confirmed false negatives": int(other["positive"].sum()),
    }


def _splits(manifest: Manifest) -> dict[str, dict[str, Any]]:
    each = manifest.captions["image_id"].value_counts()
    per_image = manifest.images["image_id"].map(each).fillna(0).astype(int)
    found = {split: int((manifest.images["split"] == split).sum()) for split in SPLITS}
    expected = KNOWN[manifest.name].expected(found) if manifest.name in KNOWN else {}
    described = noise.undone(manifest)
    described = described.assign(same=described["text"].map(captions.same))
    rows = {}
    for split in SPLITS:
        inside = manifest.images["split"] == split
        own = per_image[inside]
        theirs = described[described["image_id"].isin(manifest.images["image_id"][inside])]
        rows[split] = {
            "images": len(own),
            "expected": expected.get(split),
            "captions": len(theirs),
            "captions_per_image": [int(own.min()), int(own.max())] if len(own) else [0, 0],
            "pairs_true_by_equal_captions": captions.false_pairs(theirs, "same"),
        }
    return rows


def _facts(subject: Subject) -> dict[str, Any]:
    manifest, source = subject.manifest, subject.source
    noisy = manifest.info.get("noise", {})
    settings = {key: value for key, value in source.settings.items() if key not in noisy}
    facts: dict[str, Any] = {"hash": manifest.hash, "format": source.format, "settings": settings}
    if noisy:
        facts["noise"] = noisy
    if notes := manifest.info.get("notes"):
        facts["notes"] = "; ".join(map(str, notes))
    given = manifest.judgements[manifest.judgements["source"] != noise.SOURCE]
    if len(given):
        facts["judgements"] = judged(given, manifest.captions)
    truth = Truth.read(manifest_folder(subject.name))
    if truth is not None:
        facts["truth"] = ambiguity_of(manifest, truth, "test")
    return facts


def _some(level: Level, check: str, what: str, examples: Iterable[str], todo: str) -> Findings:
    """A finding, where there is any example."""
    listed = list(examples)
    if listed:
        yield level, Finding(check, what, len(listed), listed[:EXAMPLES], todo)


def _registration(subject: Subject) -> Findings:
    stale = [] if prepare.is_current(subject.name, subject.source) else [f"data/{subject.name}.yaml"]
    todo = f"build it again: bench data prepare {subject.name}"
    yield from _some("error", "stale-manifest", "registration changed after the manifest was built", stale, todo)


def _counts(subject: Subject) -> Findings:
    rows = subject.splits.items()
    wrong = [
        f"{split} has {row['images']:,} images, {row['expected']:,} are usual"
        for split, row in rows
        if row["expected"] not in (None, row["images"])
    ]
    todo = "numbers on these splits compare with nobody else's: give the dataset a name of its own"
    yield from _some("warning", "unusual-counts", "splits of another size than everybody's", wrong, todo)
    empty = [split for split, row in rows if row["images"] == 0]
    yield from _some("warning", "empty-splits", "splits without images", empty, f"add images to them: {subject.again}")


def _splits_made(subject: Subject) -> Findings:
    number = subject.manifest.info.get("split_by_id", 0)
    if number:
        split_of = subject.manifest.images[["image_id", "split"]].head(EXAMPLES).itertuples(index=False)
        yield (
            "warning",
            Finding(
                "split-by-id",
                "images whose split nothing says, so that their ids decided (80 % train, 10 % val, 10 % test)",
                number,
                [f"{image}: {split}" for image, split in split_of],
                f"nobody else has this split; add the lists of a known one (train.txt, ...), then: {subject.again}",
            ),
        )


def _tables(subject: Subject) -> Findings:
    """What contradicts itself; readers do not write it, other programs may."""
    manifest, again = subject.manifest, subject.again
    images, texts, judgements = manifest.images, manifest.captions, manifest.judgements
    for check, what, ids in (
        ("repeated-images", "images that stand twice", images["image_id"]),
        ("repeated-captions", "caption ids that stand twice", texts["caption_id"]),
    ):
        yield from _some("error", check, what, ids[ids.duplicated()], f"give each an id of its own, then: {again}")
    strange = images[~images["split"].isin(SPLITS)]
    examples = (strange["image_id"] + " in " + strange["split"]).tolist()
    todo = f"name the splits {', '.join(SPLITS)}, then: {again}"
    yield from _some("error", "unknown-splits", "images of an unknown split", examples, todo)
    orphans = texts[~texts["image_id"].isin(images["image_id"])]
    examples = (orphans["caption_id"] + " of " + orphans["image_id"]).tolist()
    todo = f"add the images or remove the captions, then: {again}"
    yield from _some("error", "orphan-captions", "captions of unknown images", examples, todo)
    known = judgements["image_id"].isin(images["image_id"]) & judgements["caption_id"].isin(texts["caption_id"])
    unknown = judgements[~known]
    examples = (unknown["image_id"] + " with " + unknown["caption_id"]).tolist()
    todo = f"remove them, then: {again}"
    yield from _some("error", "unknown-judgements", "judgements of unknown pairs", examples, todo)
    bare = images["image_id"][~images["image_id"].isin(texts["image_id"])]
    todo = "they are distractors in text-to-image retrieval and cannot be queries; remove them if that is not meant"
    yield from _some("warning", "images-without-captions", "images without captions", bare, todo)


def _paths(subject: Subject) -> Findings:
    images = subject.manifest.images
    leaving = images[images["image_id"].map(leaves) | images["file"].map(leaves)]
    examples = (leaving["image_id"] + ": " + leaving["file"]).tolist()
    todo = f"put the files into the folder and name them relative to it, then: {subject.again}"
    yield from _some("error", "leaving-the-folder", "images whose id or path leaves the folder", examples, todo)


def _source_files(subject: Subject) -> Findings:
    """The annotation and feature files, against what the manifest was made from."""
    missing, changed = [], []
    for file, content in subject.manifest.info.get("files", {}).items():
        path = subject.source.folder(subject.name) / file
        if not path.exists():
            missing.append(str(path))
        elif file_digest(path) != content:
            changed.append(str(path))
    todo = f"bring them back, or read what is there: {subject.again}"
    yield from _some("error", "missing-files", "files that are missing", missing, todo)
    todo = f"bring the old ones back, or take the new ones: {subject.again}"
    yield from _some("error", "changed-files", "files that changed since they were added", changed, todo)


def _pictures(subject: Subject) -> Findings:
    """Read and decode every picture, in threads: Pillow decodes in parallel."""
    if subject.manifest.info.get("images_are") == "features":
        return
    images = subject.manifest.images
    rows = list(images.loc[~images["file"].map(leaves), ["file", "row", "content"]].itertuples(index=False))
    found: dict[Fault, list[str]] = {}

    def fault(row: tuple[str, int, str]) -> PictureError | None:
        try:
            pictures.load(subject.root, *row)
        except PictureError as error:
            return error
        return None

    with ThreadPoolExecutor() as pool:
        try:
            for done, error in enumerate(pool.map(fault, rows), start=1):
                if error is not None:
                    found.setdefault(error.fault, []).append(str(error))
                subject.progress("pictures", done, len(rows))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    again = subject.again
    for kind, what, todo in PICTURE_FAULTS:
        yield from _some("error", f"{kind}-pictures", what, found.get(kind, []), f"{todo}: {again}")


PICTURE_FAULTS: tuple[tuple[Fault, str, str], ...] = (
    ("missing", "pictures that are missing", "bring them back, or read what is there"),
    ("changed", "pictures that changed since they were added", "bring the old ones back, or take the new ones"),
    ("unreadable", "pictures that cannot be decoded", "get them again or remove them, then"),
    ("too-large", "pictures with too many pixels (decompression bombs)", "shrink or remove them, then"),
)


def _copies(subject: Subject) -> Findings:
    images = subject.manifest.images[subject.manifest.images["content"] != ""]
    groups = images[images["content"].duplicated(keep=False)].groupby("content")
    inside: list[str] = []
    across: list[str] = []
    for _, group in sorted(groups, key=lambda pair: -len(pair[1])):
        together = " = ".join(
            f"{image} ({split})" for image, split in group[["image_id", "split"]].head(EXAMPLES).itertuples(index=False)
        )
        more = f", ... ({len(group):,} ids)" if len(group) > EXAMPLES else ""
        (inside if group["split"].nunique() == 1 else across).append(together + more)
    todo = "their captions are true of each other's picture; keep one of each"
    yield from _some("warning", "copied-pictures", "pictures that stand more than once in a split", inside, todo)
    todo = "a model is tested on what it learnt; keep one of each"
    yield from _some("warning", "pictures-in-two-splits", "pictures that stand in more than one split", across, todo)


def _equal_captions(subject: Subject) -> Findings:
    frame = subject.captions
    twice = frame[frame.duplicated(["image_id", "same"])]
    examples = _quoted(twice)
    todo = "harmless; an image with fewer different captions than the others"
    yield from _some("warning", "captions-twice-of-an-image", "captions that an image has twice", examples, todo)
    groups = frame.groupby(["split", "same"])["image_id"].agg(["nunique", "size"]).reset_index()
    shared = groups[groups["nunique"] > 1].sort_values("nunique", ascending=False, kind="stable")
    if len(shared):
        pairs = sum(row["pairs_true_by_equal_captions"] for row in subject.splits.values())
        first = shared[["same", "split", "nunique"]].head(EXAMPLES).itertuples(index=False)
        yield (
            "warning",
            Finding(
                "captions-of-several-images",
                f"captions that another image of the split has too ({pairs:,} unlabelled pairs are true)",
                int(shared["size"].sum()),
                [f"{same[:60]!r} ({split}: {images:,} images)" for same, split, images in first],
                "false negatives of everybody who uses this data; keep them, and tell how they are scored",
            ),
        )


def _captions(subject: Subject) -> Findings:
    frame = subject.manifest.captions
    text = frame["text"]
    blank = text.map(is_unseen).astype(bool)
    todo = f"write or remove them, then: {subject.again}"
    yield from _some("error", "empty-captions", "captions that are empty", frame["caption_id"][blank], todo)
    wordless = frame[~blank & text.map(captions.wordless)]
    yield from _some("warning", "wordless-captions", "captions without a word", _quoted(wordless), todo)
    long = frame[text.map(lambda one: len(one.split()) > captions.MOST_WORDS)]
    todo = "text encoders cut them (CLIP reads 77 tokens); shorten them if what matters stands late"
    what = f"captions of more than {captions.MOST_WORDS} words"
    yield from _some("warning", "long-captions", what, _quoted(long), todo)
    foreign = frame[~text.map(str.isascii) | text.str.contains("[&\x00-\x1f\x7f]")]
    for check, (does, has) in captions.ENCODING.items():
        some = foreign[foreign["text"].map(has).astype(bool)]
        todo = f"save the file as UTF-8 from its original, then: {subject.again}"
        yield from _some("warning", check, f"captions that {does}", _quoted(some), todo)


def _quoted(frame: pd.DataFrame) -> list[str]:
    return [f"{caption}: {text[:60]!r}" for caption, text in zip(frame["caption_id"], frame["text"], strict=True)]


def _language(subject: Subject) -> Findings:
    """Whether the dataset's own text encoder, and those that encoded it, can read the captions."""
    name, manifest = subject.source.encoder.partition("+")[2], subject.manifest
    texts = manifest.captions["text"].drop_duplicates().tolist()
    found = {name: list(equal_texts.warnings(name, {"unknown": equal_texts.unknown_to(name, texts)}))}
    for path in sorted((FEATURES / subject.name).glob("*/features.json")):
        try:
            info = read_info(path.parent)
        except DataError:  # its own command tells of it
            continue
        if info["manifest"] == manifest.hash:
            of = path.parent.name.partition("+")[2]
            found.setdefault(of, []).extend(equal_texts.warnings(of, info.get("captions", {})))
    todo = f"take an encoder that can (bench encoders): bench features --dataset {subject.name} --encoder IMAGE+TEXT"
    if lines := [line for each in found.values() for line in dict.fromkeys(each)]:
        what, number = "encoders that cannot read the captions", sum(map(bool, found.values()))
        yield "warning", Finding("unknown-language", what, number, lines[:EXAMPLES], todo)


def _left_out(subject: Subject) -> Findings:
    skipped = subject.manifest.info.get("skipped", {})
    if skipped:
        yield (
            "warning",
            Finding(
                "left-out",
                "kinds of rows or files of the source that were left out",
                len(skipped),
                [counted(number, what) for what, number in skipped.items()][:EXAMPLES],
                "nothing, where you know why; else look at the source's files",
            ),
        )


CHECKS: tuple[Callable[[Subject], Findings], ...] = (
    _registration,
    _paths,
    _tables,
    _source_files,
    _pictures,
    _captions,
    _counts,
    _splits_made,
    _copies,
    _equal_captions,
    _language,
    _left_out,
)
"""Every class of faults, errors first."""
