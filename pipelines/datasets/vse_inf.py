"""The picture layout of VSE-inf and LAPS: lists of ids and captions, and a file that says which picture an id is.

======================  ==========================================================================
``id_mapping.json``     ``{"0": "1000092795.jpg"}``: id to the picture's name or path
``<split>_ids.txt``     an id a line: once for each image, or once for each caption
``<split>_caps.txt``    a caption a line, the same number for each line of ids
======================  ==========================================================================

Splits are ``train``, ``dev`` (or ``val``) and ``test``; ``testall`` (COCO's 25,000 captions) is taken before ``test``.
The lists lie beside the mapping or in a folder right below it, the pictures anywhere below. An id may be repeated or
not, in each list by itself. That line of work cuts any dev split to 5,000 captions, so of Flickr30K's dev lists one may
be longer: then the first 1,000 images are taken. An image's id is the picture's name in the mapping.

Source: J. Chen et al. (2021), Learning the Best Pooling Strategy for Visual Semantic Embedding, CVPR.
"""

from pathlib import Path

from negbench.pipelines.datasets.precomp import CUT_DEV, F30K_DEV, REPEATS, SPLIT_NAMES
from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading.annotations import Faults, annotation_files, line_count, lines, shown
from negbench.pipelines.reading.caption_rows import CaptionRows
from negbench.pipelines.reading.image_files import ImageFiles
from negbench.pipelines.reading.json_rows import read_object
from negbench.pipelines.sources import Source

MAPPING = "id_mapping.json"
CUT = "captions after the 5,000 that everybody takes of a dev split"


def detect(folder: Path) -> str | None:
    """The mapping, where there are lists with it."""
    return MAPPING if (folder / MAPPING).is_file() and _listed(folder) else None


def almost(folder: Path) -> str | None:
    """A mapping without its lists."""
    if (folder / MAPPING).is_file() and not _listed(folder):
        return f"{folder / MAPPING} needs train_ids.txt, train_caps.txt and those of dev and test beside it"
    return None


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded."""
    root = source.root(name)
    picture_of = _mapping(root / MAPPING)
    listed = _listed(root)
    rows = CaptionRows(source)
    files = [root / MAPPING]
    for split, parts in SPLIT_NAMES.items():
        part = next((part for part in parts if part in listed), None)
        if part is None:
            raise DataError(f"{root}: no {parts[-1]}_ids.txt with {parts[-1]}_caps.txt; a dataset needs all splits")
        ids_file, texts_file = listed[part]
        files += [ids_file, texts_file]
        _read(rows, split, ids_file, texts_file, picture_of)
        for other in (listed[other] for other in parts if other in listed and other != part):
            why = f"the {split} split is read from {texts_file.name}"
            rows.unused |= {path.relative_to(root).as_posix(): why for path in other}
    return rows.manifest(name, root, ImageFiles(root).places, files)


def _read(rows: CaptionRows, split: str, ids_file: Path, texts_file: Path, picture_of: dict[str, str]) -> None:
    """Add the captions of a split."""
    ids = _ids(ids_file)
    captions = line_count(texts_file)
    ids, most = _cut(split, ids, captions)
    if not ids or most % len(ids):
        raise DataError(
            f"{texts_file}: {captions:,} captions for {len(ids):,} lines of {ids_file.name}; captions must be a"
            " multiple of the lines"
        )
    each = most // len(ids)
    for number, text in lines(texts_file, rows.faults):
        if number > most:
            rows.leave_out(CUT)
            continue
        with rows.row(f"{texts_file}:{number}"):
            place, image_id = (number - 1) // each + 1, ids[(number - 1) // each]
            if image_id not in picture_of:
                raise DataError(f"{ids_file}:{place}: id {shown(image_id)} is not in {MAPPING}")
            rows.caption(f"{texts_file}:{number}", picture_of[image_id], text, split)


def _ids(path: Path) -> list[str]:
    """The lines of a list of ids, taken whole or not at all."""
    found = []
    for number, line in lines(path, Faults(whole=True)):
        if not line.strip():
            raise DataError(f"{path}:{number}: empty line where an id should be")
        found.append(line.strip())
    return found


def _cut(split: str, ids: list[str], captions: int) -> tuple[list[str], int]:
    """The ids, and the number of captions, where only one of the two lists of Flickr30K's dev split was cut."""
    if split == "val" and captions == CUT_DEV * REPEATS and len(ids) in (F30K_DEV, F30K_DEV * REPEATS):
        ids = ids[: len(ids) // F30K_DEV * CUT_DEV]
    elif split == "val" and captions == F30K_DEV * REPEATS and len(ids) in (CUT_DEV, CUT_DEV * REPEATS):
        captions = CUT_DEV * REPEATS
    return ids, captions


def _mapping(path: Path) -> dict[str, str]:
    """Id to picture; ``DataError`` where a picture has two ids."""
    id_of: dict[str, str] = {}
    for image_id, picture in read_object(path).items():
        if not isinstance(picture, str):
            raise DataError(f"{path}: {shown(image_id)}: expected the name of a picture, got {shown(picture)}")
        if picture in id_of:
            raise DataError(f"{path}: {shown(picture)} has two ids, {shown(id_of[picture])} and {shown(image_id)}")
        id_of[picture] = image_id
    return {image_id: picture for picture, image_id in id_of.items()}


def _listed(root: Path) -> dict[str, tuple[Path, Path]]:
    """Split, as the files name it, to its list of ids and its captions."""
    found = {}
    for path in annotation_files(root, "*_ids.txt"):
        texts = path.with_name(f"{path.name.removesuffix('_ids.txt')}_caps.txt")
        part = path.name.removesuffix("_ids.txt")
        if texts.is_file() and any(part in parts for parts in SPLIT_NAMES.values()):
            found[part] = (path, texts)
    return found
