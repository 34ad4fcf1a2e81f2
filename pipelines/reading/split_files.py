"""Lists of image ids, a file per split: ``Flickr_8k.trainImages.txt``, ``train.txt``, ``test_2016_images.txt``."""

from collections.abc import Callable
from pathlib import Path

from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import SPLITS
from negbench.pipelines.reading.annotations import Faults, annotation_files, check_id, lines
from negbench.pipelines.reading.caption_rows import SPLIT_NAMES, split_of_file

TEXTS = (".txt", ".lst")
ENDS = ("images", "ids", "imgs", "list")
MOST_BYTES = 1 << 26
"""Of a list."""
MOSTLY = 0.9
"""Share of the lines of a list that name images which are there."""

Knows = Callable[[str], bool]
"""Whether there is an image of this name."""


def split_files(root: Path, ends: tuple[str, ...] = TEXTS, knows: Knows | None = None) -> list[tuple[str, Path]]:
    """Splits and their files, train first: files whose last word is the name of a split.

    With ``knows`` also lists of images that have the word anywhere in their name, one for each split.
    """
    every = annotation_files(root, *(f"*{end}" for end in ends))
    found = {path: split for path in every if (split := _last_word(path))}
    for path in every if knows else []:
        split = None if path in found else split_within(path.stem)
        if knows and split and listed(path, knows):
            if other := next((other for other, its in found.items() if its == split and split != "train"), None):
                raise DataError(f"{path} and {other.name} are both lists of {split}; move one out of the folder")
            found[path] = split
    return sorted(((split, path) for path, split in found.items()), key=lambda pair: SPLITS.index(pair[0]))


def _last_word(path: Path) -> str | None:
    stem = path.stem.lower()
    for end in ENDS:
        stem = stem.removesuffix(end).rstrip("_-. ")
    word = stem.replace("_", "-").replace(".", "-").rpartition("-")[2]
    return split_of_file(Path(word)) if word.isalpha() else None


def split_within(name: str) -> str | None:
    """The one split whose word stands anywhere in a name, as in ``flickr8ktrain``; None where there are several."""
    words = "".join(letter if letter.isalpha() else " " for letter in name.lower()).split()
    said = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    said = said or {
        split
        for word in words
        for part, split in SPLIT_NAMES.items()
        if len(part) > 2 and (word.startswith(part) or word.endswith(part))
    }
    return said.pop() if len(said) == 1 else None


def listed(path: Path, knows: Knows) -> int:
    """How many images a file lists, one on each line and each once; 0 where it is no such list."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return 0
        names = [line.strip() for _, line in lines(path, Faults(whole=True)) if line.strip()]
    except (DataError, OSError):
        return 0
    if len(names) < 2 or len(set(names)) < len(names):
        return 0
    return len(names) if sum(map(knows, names)) >= MOSTLY * len(names) else 0


def read_splits(files: list[tuple[str, Path]]) -> dict[str, tuple[str, str]]:
    """Image id to its split and its line, in the order of the files. A list is taken whole or not at all."""
    split_of: dict[str, tuple[str, str]] = {}
    for split, path in files:
        for number, line in lines(path, Faults(whole=True)):
            where, image = f"{path}:{number}", line.strip()
            if not image:
                raise DataError(f"{where}: empty line where an image's name should be")
            check_id(image, where)
            if image in split_of:
                raise DataError(f"{where}: {image} already stands in the {split_of[image][0]} split")
            split_of[image] = (split, where)
    return split_of
