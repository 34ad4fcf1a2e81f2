"""Lists of image ids, a file per split: ``Flickr_8k.trainImages.txt``, ``train.txt``, ``flickr30k_val.txt``."""

from pathlib import Path

from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import SPLITS
from negbench.pipelines.reading.annotations import Faults, annotation_files, check_id, lines
from negbench.pipelines.reading.caption_rows import split_of_file

ENDS = ("images", "ids", "imgs", "list")


def split_files(root: Path, suffix: str = ".txt") -> list[tuple[str, Path]]:
    """Splits and their files, train first: files whose last word is the name of a split."""
    found = []
    for path in annotation_files(root, f"*{suffix}"):
        stem = path.stem.lower()
        for end in ENDS:
            stem = stem.removesuffix(end).rstrip("_-. ")
        word = stem.replace("_", "-").replace(".", "-").rpartition("-")[2]
        split = split_of_file(Path(word)) if word.isalpha() else None
        if split:
            found.append((split, path))
    return sorted(found, key=lambda pair: SPLITS.index(pair[0]))


def read_splits(files: list[tuple[str, Path]]) -> dict[str, tuple[str, str]]:
    """Image id to its split and its line, in the order of the files. A list is taken whole or not at all."""
    split_of: dict[str, tuple[str, str]] = {}
    for split, path in files:
        for number, line in lines(path, Faults()):
            where, image = f"{path}:{number}", line.strip()
            if not image:
                raise DataError(f"{where}: empty line where an image's name should be")
            check_id(image, where)
            if image in split_of:
                raise DataError(f"{where}: {image} already stands in the {split_of[image][0]} split")
            split_of[image] = (split, where)
    return split_of
