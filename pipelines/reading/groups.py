"""Whether files are of one dataset: by their names, without the split and the number of a part."""

import re
from pathlib import Path

from negbench.pipelines.errors import DataError, RequestError, unknown
from negbench.pipelines.reading.caption_rows import SPLIT_NAMES, split_of_file
from negbench.pipelines.reading.image_files import has_pictures

STEM = "stem"
"""The setting that names the dataset to take."""
PART = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![0-9a-z])[0-9a-f]{12,}(?![0-9a-z])"  # digests, as hubs write them
    r"|\d+-of-\d+|(?<!\d)0\d{2,}"
    r"|(?<!\d)(?!(19|20)\d\d$)\d{1,7}$"
)
"""The number of a part, such as ``00000-of-00002``, or its digest; a year or a date is none."""
WORD = re.compile(rf"(?<![a-z])({'|'.join(SPLIT_NAMES)})(?![a-z])")
SHOWN = 3


def stem_of(path: Path, root: Path) -> str:
    """What the files of one dataset share: folders and name, without split and number; may be empty."""
    parts = path.relative_to(root).with_suffix("").parts
    bare = (
        re.sub(r"[-_. ]+", "_", WORD.sub("", PART.sub("", PART.sub("", part.lower()).rstrip("-_. ")))).strip("_")
        for part in parts
    )
    return "/".join(filter(None, bare))


def one_dataset(files: list[Path], root: Path, stem: str | None) -> list[Path]:
    """The files of the one dataset in ``root``, or of the one that ``stem`` names.

    ``DataError`` names the datasets where several have files of a split.
    """
    groups: dict[tuple[str, str], list[Path]] = {}
    for path in files:
        groups.setdefault((stem_of(path, root), path.suffix), []).append(path)
    if stem is not None and files:
        chosen = [path for path in files if stem in names_of(path, root)]
        if not chosen:
            raise RequestError(
                f"--stem: {unknown('files', stem, {stem_of(path, root) or path.suffix for path in files})}"
            )
        if len(chosen) < len(files) or len(groups) == 1:
            return one_dataset(chosen, root, None)
    splits = [split for group in groups.values() for split in {split_of_file(path) for path in group}]
    if len(groups) > 1 and (None in splits or len(set(splits)) < len(splits)):
        raise DataError(
            f"{root} holds several datasets: {_told(groups, root)}; take one with {_way_out(files, root)}, or move the"
            " others"
        )
    _check_parts(files, root)
    return files


def _check_parts(files: list[Path], root: Path) -> None:
    """``DataError`` where files of one split are not parts of one, which differ by their numbers alone."""
    first: dict[tuple[str, bool], Path] = {}
    for path in files:
        split = split_of_file(path)
        if split is None:
            continue
        before = first.setdefault((split, "restval" in path.name.lower()), path)
        if _numbered(before, root) != _numbered(path, root):
            both = f"{before.relative_to(root).as_posix()} and {path.relative_to(root).as_posix()}"
            raise DataError(
                f"{root}: {both} are both of the {split} split; move one out of the folder, or number them alike if"
                " they are its parts"
            )


def _numbered(path: Path, root: Path) -> str:
    """A file's path with a mark for the number of a part."""
    parts = path.relative_to(root).with_suffix("").parts
    return "/".join(PART.sub("#", PART.sub("#", part.lower()).rstrip("-_. ")) for part in parts)


def stem_among(files: list[Path], root: Path, stem: str | None) -> str | None:
    """``stem`` where it names one of these files; a dataset has files of several kinds."""
    return stem if any(stem in names_of(path, root) for path in files) else None


def the_one(found: list[Path], root: Path, what: str, stem: str | None = None) -> Path:
    """The only file, or the one that ``stem`` names; ``DataError`` names the others with their folders."""
    chosen = [path for path in found if stem in names_of(path, root)] if stem is not None else found
    if len(chosen) != 1:
        names = [path.relative_to(root).as_posix() for path in found]
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        seen = (
            f"{len(names)}: {', '.join(names[:SHOWN])}{more}; take one with {_way_out(found, root)}"
            if found
            else "none"
        )
        raise DataError(f"{root}: expected one {what}, found {seen}")
    return chosen[0]


def names_of(path: Path, root: Path) -> tuple[str, ...]:
    """What ``--stem`` may call a file."""
    inside, stem = path.relative_to(root), stem_of(path, root)
    return stem, stem + path.suffix, path.name, path.stem, inside.as_posix(), inside.with_suffix("").as_posix()


def _way_out(files: list[Path], root: Path) -> str:
    """The option that takes one of several datasets: the folder, where each has pictures of its own."""
    folders = sorted({root / path.relative_to(root).parts[0] for path in files})
    if len(folders) > 1 and all(folder.is_dir() and has_pictures(folder) for folder in folders):
        return " or ".join(f"--from {folder}" for folder in folders[:SHOWN])
    return "--stem"


def _told(groups: dict[tuple[str, str], list[Path]], root: Path) -> str:
    said = []
    for (stem, suffix), files in groups.items():
        alike = sum(other == stem for other, _ in groups) > 1
        names = ", ".join(path.relative_to(root).as_posix() for path in files[:SHOWN]) + ", ..." * (len(files) > SHOWN)
        said.append(f"'{stem}{suffix if alike or not stem else ''}' ({names})")
    return ", ".join(said)
