"""Files of a source that were seen and not read, each with the reason: nothing is passed over in silence."""

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading.ends import ENDS
from negbench.pipelines.reading.groups import names_of
from negbench.pipelines.reading.image_files import SUFFIXES, files_below, form
from negbench.pipelines.reading.split_files import listed, split_within

SEEN = {*ENDS, ".lst"}
"""Ends of files that could be annotations."""
TEXTS = {".txt", ".lst", ""}
"""Of files that could be lists of images."""
MOST_LISTS = 50
"""Files of one kind in one folder that may be lists: of more each is of one picture."""
TOGETHER = 5
"""Files of one kind in one folder that are named one by one; more are told as one."""


def unused(root: Path, manifest: Manifest, stem: str | None = None) -> dict[str, str]:
    """File to why it was not read, of every annotation file in ``root`` or right below it.

    ``stem`` is what files of the dataset share, where one of several was taken.
    ``DataError`` where it lists images, and nothing but such lists or the ids says which image is in which split.
    """
    below = files_below(root)
    seen = [file for file in below if _may_be_read(PurePosixPath(file))]
    read = {*manifest.info.get("files", {}), *manifest.images["file"]}
    left = [file for file in seen if file not in read]
    kinds = Counter(map(_kind, left))
    knows = _known(manifest, below) if left else None
    why = {}
    for file in left:
        may_list = PurePosixPath(file).suffix.lower() in TEXTS and kinds[_kind(file)] <= MOST_LISTS
        count = listed(root / file, knows) if knows and may_list else 0
        if count and file != _small(file):
            raise DataError(f"{root / file} lists {count:,} images and is not used: rename it {_small(file)}")
        if count and (manifest.info.get("split_by_id") or manifest.info.get("split_by_lists")):
            raise DataError(f"{root / file} lists {count:,} images and is not used: {_advice(root, file)}")
        why[file] = f"a list of {count:,} images; the source says itself which is in which split" if count else ""
    said = manifest.info.get("unused", {})
    why |= {file: said[file] for file in left if file in said}
    for file in left:
        if not why[file] and stem is not None and stem not in names_of(root / file, root):
            why[file] = f"not of '{stem}'"
    return {file: reason or "not what this format reads" for file, reason in _together(why).items()}


def _small(file: str) -> str:
    """With the end of its name in small letters, as readers look for it."""
    return str(PurePosixPath(file).with_suffix(PurePosixPath(file).suffix.lower()))


def _may_be_read(file: PurePosixPath) -> bool:
    """Whether a file could be annotations: it lies in the folder or right below it, or deeper and is called a list."""
    deep = len(file.parts) > 2
    suffix = file.suffix.lower()
    return suffix in TEXTS - {""} and split_within(file.stem) is not None if deep else suffix in SEEN | TEXTS


def _advice(root: Path, file: str) -> str:
    """What makes a list of images one that is used."""
    out = "or write the split into the rows and move it out of the folder"
    if not split_within(PurePosixPath(file).stem):
        return f"name it after its split (train, val or test; tokens, coco and table read lists), {out}"
    move = f" that lie in {root}, so move it there" if "/" in file else "; another format takes none"
    return f"tokens, coco and table read lists{move}, {out}"


def _kind(file: str) -> str:
    place = PurePosixPath(file)
    return (place.parent / f"*{place.suffix}").as_posix()


def _known(manifest: Manifest, below: list[str]) -> Callable[[str], bool]:
    pictures = (file for file in below if PurePosixPath(file).suffix.lower() in SUFFIXES)
    known = set[str]()
    for name in (*manifest.images["image_id"], *manifest.images["file"], *pictures):
        known |= {form(name), form(PurePosixPath(name).name), form(PurePosixPath(name).stem)}
    return lambda name: form(name) in known


def _together(why: dict[str, str]) -> dict[str, str]:
    """Files without a reason of their own, many of one kind as one."""
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    for file, reason in why.items():
        if not reason or reason.startswith("not of"):
            kinds[_kind(file), reason].append(file)
    many = {kind: files for kind, files in kinds.items() if len(files) > TOGETHER}
    one_by_one = set(why) - {file for files in many.values() for file in files}
    told = {file: why[file] for file in why if file in one_by_one}
    return told | {f"{kind} ({len(files):,} files)": reason for (kind, reason), files in many.items()}
