"""JSON objects keyed by the name of a picture, or by number with the name inside.

=====================================================  ===============================================
``{"1.jpg": "a dog"}``                                 one caption
``{"1.jpg": ["a dog", "a black dog"]}``                several
``{"1.jpg": {"caption": "a dog", "split": "train"}}``  an object of columns, as in a table
``{"0": {"filename": "1.jpg", "caption": "a dog"}}``   keyed by number, as in SugarCrepe
=====================================================  ===============================================

A caption may be text or an object with ``caption`` or ``raw``; columns are called as in
``negbench.pipelines.datasets.table``, other keys are named and not read. Without ``split`` the file's name says it
(``train.json``), and else the image's id decides. The pictures lie anywhere below the folder.
"""

from pathlib import Path, PurePosixPath
from typing import Any

from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import columns
from negbench.pipelines.reading.annotations import annotation_files, check_id, shown
from negbench.pipelines.reading.caption_rows import CaptionRows, splits_of_files
from negbench.pipelines.reading.groups import STEM, one_dataset
from negbench.pipelines.reading.image_files import SUFFIXES, ImageFiles
from negbench.pipelines.reading.json_rows import first_entry, read_object
from negbench.pipelines.reading.unread import Unread
from negbench.pipelines.sources import Source

EXPECTS = "*.json of one object, keyed by the names of pictures"


def detect(folder: Path) -> str | None:
    """Such an object."""
    return next((path.name for path in _files(folder)), None)


def almost(folder: Path) -> str | None:
    """An object of captions whose keys do not look like names of pictures."""
    for path in annotation_files(folder, "*.json"):
        found = first_entry(path)
        if found and _has_texts(found[1]) and not _is_picture(found[0]):
            return (
                f"{path} is an object whose first key is {shown(found[0])}, no picture's name (--format keyed reads it)"
            )
    return None


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded."""
    root = source.root(name)
    files = _files(root) or annotation_files(root, "*.json")
    if not files:
        raise DataError(f"{root}: no {EXPECTS}")
    files = one_dataset(files, root, source.settings.get(STEM))
    rows = CaptionRows(source)
    unread = Unread()
    first_in: dict[str, Path] = {}
    for path, of_file in splits_of_files(files).items():
        for key, value in read_object(path).items():
            where = f"{path}: {shown(key)}"
            with rows.row(where):
                row = value if isinstance(value, dict) else {columns.CAPTION[0]: value}
                image = _image(key, row, where)
                if first_in.setdefault(image, path) != path:
                    raise DataError(
                        f"{where}: {image} stands in {first_in[image].name} already; leave one of the files"
                    )
                split = columns.split(row, columns.split_column(row), where) or of_file
                captions = _captions(row, where)
                unread.see(path, row, (columns.image_column(row), *captions, columns.split_column(row)))
                columns.check_agreement(row, where)
                texts = columns.texts(row, captions, where)
                for text in texts:
                    rows.caption(where, image, text, split)
    unread.tell(rows)
    return rows.manifest(name, root, ImageFiles(root).places, files)


def _image(key: str, row: dict[str, Any], where: str) -> str:
    """The picture's name: of the row, else its key."""
    column = columns.image_column(row)
    return columns.image(row, column, where) if column else check_id(key.removeprefix("./"), where)


def _captions(row: dict[str, Any], where: str) -> list[str]:
    """The columns of captions."""
    found = columns.caption_columns(row)
    if not found:
        raise DataError(f"{where}: no caption; it has the keys {', '.join(row)[:60] or 'none'}")
    return found


def _files(root: Path) -> list[Path]:
    return [path for path in annotation_files(root, "*.json") if _fits(first_entry(path))]


def _fits(found: tuple[str, Any] | None) -> bool:
    """Whether a file's first key and value are a picture and its captions."""
    if found is None:
        return False
    key, value = found
    if isinstance(value, dict):
        named = _is_picture(key) or columns.image_column(value) is not None
        return named and bool(columns.caption_columns(value))
    return _is_picture(key) and isinstance(value, str | list)


def _has_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES
