"""From rows (image, caption, split) to a manifest: what every reader of a format shares.

A reader calls ``CaptionRows.caption`` for each caption it finds, then ``CaptionRows.manifest`` with where the
pictures are.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from negbench.pipelines.errors import DataError
from negbench.pipelines.files import digest, file_digest
from negbench.pipelines.manifest import SPLITS, Manifest, table
from negbench.pipelines.reading.annotations import Faults, check_id, check_text
from negbench.pipelines.sources import Source
from negbench.pipelines.text import counted

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "restval": "train",  # COCO's validation images that Karpathy gave to training
    "val": "val",
    "dev": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "eval": "test",
}
SHARES = {"train": 0.8, "val": 0.9}
"""Upper ends of the shares of a split by hash; the rest is test."""
MOST_TOLD = 20
"""Bad rows whose faults are written down."""


class Place(NamedTuple):
    """Where an image is: the last three columns of the manifest's ``images``."""

    file: str
    row: int
    content: str


def split_named(name: str, where: str) -> str:
    """``train``, ``val`` or ``test`` for any of the names in use."""
    split = SPLIT_NAMES.get(name.strip().lower())
    if split is None:
        raise DataError(f"{where}: split {name[:40]!r} is none of {', '.join(SPLIT_NAMES)}")
    return split


def split_of_file(path: Path) -> str | None:
    """The split that a file's name or its folder's name says, as in ``train-00000-of-00002.parquet``."""
    for name in (path.stem, path.parent.name):
        words = "".join(letter if letter.isalpha() else " " for letter in name.lower()).split()
        found = [SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES]
        if found:
            return found[0]
    return None


def splits_of_files(paths: list[Path]) -> dict[Path, str | None]:
    """The split each file's name says; none where all say the same, as where a hub calls all there is ``train``."""
    found = {path: split_of_file(path) for path in paths}
    return found if len(set(found.values())) > 1 else dict.fromkeys(paths)


def split_by_hash(image_id: str) -> str:
    """80 % train, 10 % val, 10 % test, decided by the image's id alone: the same on every machine, in any order."""
    share = int(digest(image_id)[:8], 16) / 16**8
    return next((split for split, end in SHARES.items() if share < end), "test")


def account(name: str, seen: int, kept: int, left_out: Counter[str]) -> dict[str, Any]:
    """What ``dataset.json`` says of rows that were seen; they must be those that were kept and those left out."""
    reasons = {why: number for why, number in sorted(left_out.items()) if number}
    if seen != kept + sum(reasons.values()):
        said = f"{seen:,} rows seen, but {kept:,} kept and {sum(reasons.values()):,} left out"
        raise DataError(f"{name}: {said}; that is a fault of the reader, please report it")
    return {"seen": seen, "kept": kept, "left out": reasons}


class CaptionRows:
    """Images and captions in the order in which they are found."""

    def __init__(self, source: Source) -> None:
        self.faults = Faults(bool(source.settings.get("skip_bad")), wait=True)
        self.skipped: Counter[str] = Counter()
        """What of the source is not in the manifest, and how much of it."""
        self.left_out: Counter[str] = Counter()
        """Captions, and rows that hold some, that are left out, by reason; bad ones are counted by ``faults``."""
        self.split_by_lists = False
        """Whether lists of images say which is in which split."""
        self.unused: dict[str, str] = {}
        """File to why it is not read, where that is for a reason of the format."""
        self.dialects: dict[str, str] = {}
        """File to how it is read, where that is not the usual way."""
        self.pictures: dict[str, str] = {}
        """Image id to the path of its picture as the source gives it."""
        self.where: dict[str, str] = {}
        """Image id to where it was first named."""
        self._split: dict[str, str] = {}
        self._split_by_id: set[str] = set()
        self._with_split: str | None = None
        self._without_split: str | None = None
        self._seen = 0
        self._captions: dict[str, tuple[str, str]] = {}
        self._number: Counter[str] = Counter()

    @contextmanager
    def row(self, where: str) -> Iterator[None]:
        """One row of the source, which a ``DataError`` inside leaves out.

        Each caption in it must end up kept, as a fault, or in ``leave_out``, and a row without any likewise.
        """
        seen, settled = self._seen, self._settled
        with self.faults.row(counted=True):
            yield
        self._seen += self._seen == seen
        if self._settled - settled != self._seen - seen:
            raise DataError(f"{where}: neither kept nor left out; that is a fault of the reader, please report it")

    def leave_out(self, why: str, number: int = 1) -> None:
        """Count captions, or a row of them, that are seen and not kept."""
        self._seen += number
        self.skipped[why] += number
        self.left_out[why] += number

    def say(self, file: str, how: str) -> None:
        """How a file is read, beside what is said of it already."""
        self.dialects[file] = "; ".join(filter(None, (self.dialects.get(file), how)))

    @property
    def split_is_by_id(self) -> bool:
        """Whether the ids of images decide their split."""
        return bool(self._split_by_id)

    @property
    def _settled(self) -> int:
        """Captions, and rows without any, of which it is known whether they are kept."""
        return len(self._captions) + len(self.faults.found) + self.left_out.total()

    def caption(
        self,
        where: str,
        image: str,
        text: str,
        split: str | None = None,
        *,
        caption_id: str | None = None,
        picture: str | None = None,
    ) -> None:
        """One caption; faults are the row's. Without ``split`` the image's id decides.

        ``picture`` is the path of the picture where that is not the id, ``caption_id`` is made where not given.
        """
        self._seen += 1
        with self.faults.row(counted=True):
            picture = picture or image
            if self.pictures.get(image) != picture:
                check_id(image, where)
                check_id(picture, where)
            by_id = split is None
            split = split or split_by_hash(image)
            if self._split.get(image, split) != split:
                raise DataError(f"{where}: {image} already stands in the {self._split[image]} split")
            if self.pictures.get(image, picture) != picture:
                raise DataError(f"{where}: {image} is {picture}, but was {self.pictures[image]}")
            caption_id = f"{image}#{self._number[image]}" if caption_id is None else caption_id
            text = check_text(text, where, f"caption {caption_id}")
            if caption_id in self._captions:
                raise DataError(f"{where}: caption {caption_id} stands twice")
            self._split[image] = split
            self.pictures[image] = picture
            self.where.setdefault(image, where)
            self._captions[caption_id] = (image, text)
            self._number[image] += 1
            if by_id:
                self._split_by_id.add(image)
                self._without_split = self._without_split or where
            else:
                self._with_split = self._with_split or where
            self.faults.good()

    def manifest(
        self,
        name: str,
        root: Path,
        places: Callable[["CaptionRows"], dict[str, Place]],
        files: list[Path],
        *,
        order: list[str] | None = None,
        images_are: Literal["pictures", "features"] = "pictures",
    ) -> Manifest:
        """The manifest. ``places`` says where each image is; ``files`` of the source are digested.

        Images stand by split, then in ``order`` or as they were found.
        """
        self.faults.end()
        if self._with_split and self._without_split:
            raise DataError(
                f"{self._without_split}: no split, but {self._with_split} has one; write it into every row or into none"
            )
        bad, seen = len(self.faults.found), self._seen + self.faults.uncounted
        found = places(self)
        split_of = {image: split for image, split in self._split.items() if image in found}
        for split in SPLITS:
            if split not in split_of.values():
                raise DataError(f"{root}: no image in the {split} split{self._hint()}")
        rank = {image: k for k, image in enumerate(order or split_of)}
        images = sorted(split_of, key=lambda image: (SPLITS.index(split_of[image]), rank[image]))
        line = {image: k for k, image in enumerate(images)}
        captions = [(key, image, text) for key, (image, text) in self._captions.items() if image in line]
        captions.sort(key=lambda row: line[row[1]])
        if self.faults.found:
            self.skipped["bad rows"] = len(self.faults.found)
        left_out = Counter({"bad rows": bad}) + self.left_out
        left_out["captions of images that are missing or broken"] = sum(
            image not in line for image, _ in self._captions.values()
        )
        return Manifest(
            name,
            table("images", [(image, split_of[image], *found[image]) for image in images]),
            table("captions", captions),
            info={
                "images_are": images_are,
                "skipped": {what: number for what, number in sorted(self.skipped.items()) if number},
                "rows": account(name, seen, len(captions), left_out),
                "split_by_id": len(self._split_by_id & line.keys()),
                "split_by_lists": self.split_by_lists,
                "unused": self.unused,
                "dialects": self.dialects,
                "bad": self.faults.found[:MOST_TOLD],
                "files": {path.relative_to(root).as_posix(): file_digest(path) for path in files},
            },
        )

    def _hint(self) -> str:
        if self.faults.found:
            return f"; left out: {counted(len(self.faults.found), 'bad rows')}, the first: {self.faults.found[0]}"
        if self.unused:
            return f"; not read: {next(iter(self.unused.values()))}"
        return "; a dataset needs train, val and test" if self._split else ": no captions found"
