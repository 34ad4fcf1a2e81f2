"""Lists of image ids, a file per split: ``Flickr_8k.trainImages.txt``, ``train.txt``, ``test_2016_images.txt``.

Or a CSV of the one column ``image`` per split, or one JSON file: ``{"train": ["1.jpg", ...], "val": [...], ...}``.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from negbench.pipelines.errors import DataError
from negbench.pipelines.files import read_bytes
from negbench.pipelines.manifest import SPLITS
from negbench.pipelines.reading.annotations import Faults, annotation_files, check_id, lines, shown
from negbench.pipelines.reading.caption_rows import SPLIT_NAMES, split_named, split_of_file
from negbench.pipelines.reading.columns import IMAGE
from negbench.pipelines.reading.csv_rows import Knows, is_picture
from negbench.pipelines.reading.json_rows import first_entry, read_object

TEXTS = (".txt", ".lst")
COLUMNS = (".csv", ".tsv")
ENDS = ("images", "ids", "imgs", "list")
MOST_BYTES = 1 << 26
"""Of a list."""
MOSTLY = 0.9
"""Share of the lines of a list that name images which are there."""
MOST_WORDS = 3
"""On a line of a list that holds more than names."""


def split_files(root: Path, ends: tuple[str, ...] = TEXTS, knows: Knows | None = None) -> list[tuple[str, Path]]:
    """Splits and their files, train first: files whose last word is the name of a split.

    With ``knows`` also lists of images that have the word anywhere in their name, one for each split, and those of CSV
    and JSON.
    """
    every = annotation_files(root, *(f"*{end}" for end in ends))
    found = [(split, path) for path in every if (split := _last_word(path))]
    for split, path in _more_lists(root, every, knows) if knows else []:
        if (split, path) in found:
            continue
        if other := next((other for its, other in found if its == split and split != "train"), None):
            raise DataError(f"{path} and {other.name} are both lists of {split}; move one out of the folder")
        found.append((split, path))
    return sorted(found, key=lambda pair: SPLITS.index(pair[0]))


def _more_lists(root: Path, every: list[Path], knows: Knows) -> Iterator[tuple[str, Path]]:
    """Splits and the files that list images of them, but for texts whose last word says it."""
    tables = [path for path in annotation_files(root, *(f"*{end}" for end in COLUMNS)) if _is_column(path)]
    for path in [*(path for path in every if _last_word(path) is None), *tables]:
        if (split := split_within(path.stem)) and seems_list(path, knows):
            yield split, path
    for path in annotation_files(root, "*.json"):
        if _says_splits(path) and seems_list(path, knows):
            yield from (
                (split, path) for split in dict.fromkeys(split_named(key, str(path)) for key in read_object(path))
            )


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
    """How many images a file lists, one on each line; 0 where it is no such list.

    Only names of pictures may be repeated: numbers that are may be anything.
    """
    names = [name for name in _glance(path) if name]
    different = set(names)
    if len(different) < 2 or (len(different) < len(names) and not all(map(is_picture, names))):
        return 0
    return len(different) if sum(map(knows, names)) >= MOSTLY * len(names) else 0


def seems_list(path: Path, knows: Knows) -> bool:
    """Whether half of the lines name pictures, alone or before a word or two: a list, perhaps with faults."""

    def names(line: str) -> bool:
        words = re.split(r"[\s,;]+", line)
        return knows(line) or (len(words) <= MOST_WORDS and (knows(words[0]) or is_picture(words[0])))

    every = [line for line in _glance(path) if line]
    return bool(every) and 2 * sum(map(names, every)) >= len(every)


def _glance(path: Path) -> list[str]:
    """What stands on the lines, or in the lists of a JSON file, whatever its letters are written in; none on error."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return []
        if path.suffix == ".json":
            return [str(name) for names in read_object(path).values() if isinstance(names, list) for name in names]
        data = read_bytes(path)
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return [line.strip() for line in data.decode("utf-16").split("\n")]
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    except (DataError, OSError, UnicodeDecodeError):
        return []
    return [line.strip().strip('"') for line in text.split("\n")]


def _is_column(path: Path) -> bool:
    """Whether a table has the one column of images, or one without a name."""
    beginning = _glance(path)[:MOST_WORDS]
    return bool(beginning) and not any(re.search(r"[,;\t]", line) for line in beginning)


def _says_splits(path: Path) -> bool:
    """Whether a JSON file is one object whose first key is a split and has a list of names."""
    first = first_entry(path)
    if first is None or first[0].lower() not in SPLIT_NAMES:
        return False
    return first[1] is None or (isinstance(first[1], list) and all(isinstance(name, str) for name in first[1]))


def read_splits(files: list[tuple[str, Path]], dialects: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Image id to its split and its line, in the order of the files. A list is taken whole or not at all.

    A list may name all its images the same number of times, as for their captions, which ``dialects`` is told.
    """
    split_of: dict[str, tuple[str, str]] = {}
    for split, path in files:
        times, again = Counter[str](), ""
        for where, image in _names(path, split):
            if not image:
                raise DataError(f"{where}: empty line where an image's name should be")
            check_id(image, where)
            if image in times:
                again = again or f"{where}: {image} already stands at {split_of[image][1]}; name each image once"
            elif image in split_of:
                raise DataError(f"{where}: {image} already stands in the {split_of[image][0]} split")
            split_of.setdefault(image, (split, where))
            times[image] += 1
        if len(set(times.values())) > 1:
            raise DataError(again)
        if again:
            dialects[path.name] = f"each image stands {max(times.values()):,} times, and is counted once"
    return split_of


def _names(path: Path, split: str) -> Iterator[tuple[str, str]]:
    """Where it stands, name; of JSON those of the split."""
    if path.suffix == ".json":
        for key, names in read_object(path).items():
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise DataError(f"{path}: {shown(key)}: expected a list of images' names, got {shown(names)}")
            if split_named(key, str(path)) == split:
                yield from ((f"{path}: {key}[{number}]", name.strip()) for number, name in enumerate(names))
        return
    for number, line in lines(path, Faults(whole=True)):
        name = line.strip().strip('"') if path.suffix in COLUMNS else line.strip()
        if number > 1 or path.suffix not in COLUMNS or name.lower() not in IMAGE:
            yield f"{path}:{number}", name
