"""Parquet files as dataset hubs export them: the pictures are inside, in a column {bytes, path}.

Captions are in ``caption``, ``captions``, ``text``, ``sentences`` (text or a list) or ``caption_0``, ``caption_1``,
...; an image's id is ``filename``, the picture's ``path``, ``image_id`` or ``img_id``, the first of them that is
there, else a digest of its bytes. Rows with the same id are captions of one image. The split is in ``split``, else
in the file's name (``train-00000-of-00002.parquet``), else decided by the id (``reading.caption_rows``).

The pictures are taken out into the dataset's own folder (``reading.image_files``).
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from negbench.pipelines.errors import DataError
from negbench.pipelines.files import digest
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import columns, parquet
from negbench.pipelines.reading.annotations import annotation_files
from negbench.pipelines.reading.caption_rows import CaptionRows, splits_of_files
from negbench.pipelines.reading.groups import STEM, one_dataset
from negbench.pipelines.reading.image_files import TakenOut
from negbench.pipelines.reading.unread import Unread
from negbench.pipelines.sources import Source

EXPECTS = "*.parquet (also in data/) with a column image {bytes, path} and captions"
TAKES_OUT = True
SPLITS = ("set", "subset", "partition")
"""Columns that may say the split, which is called ``split``."""
IDS = ("filename", "file_name", "image_id", "img_id")


def detect(folder: Path) -> str | None:
    """A Parquet file with pictures inside."""
    return next((path.name for path in _files(folder)), None)


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded and written into ``folder``."""
    root = source.folder(name)
    files = _files(root)
    if not files:
        raise DataError(f"{root}: no {EXPECTS}")
    files = one_dataset(files, root, source.settings.get(STEM))
    rows, taken, unread = CaptionRows(source), TakenOut(folder), Unread()
    for path, of_file in splits_of_files(files).items():
        names = parquet.schema(path).names
        picture, captions, split_column = _picture(path), columns.caption_columns(names), columns.split_column(names)
        if not captions:
            raise DataError(f"{path}: no column of captions among {', '.join(names)[:80]}")
        ids = [column for column in IDS if column in names]
        wanted = [str(picture), *captions, *ids, *([split_column] if split_column else [])]
        columns.check_names(names, str(path))
        others = [column for column in names if column not in wanted]
        for number, row in parquet.rows(path, [*wanted, *(name for name in others if name.lower() in SPLITS)]):
            unread.see(path, {column: row.get(column) for column in others}, ())
            where = f"{path}: [{number}]"
            with rows.row(where):
                data, image = _image(row, str(picture), ids, where)
                split = columns.split(row, split_column, where) or of_file
                texts = columns.texts(row, captions, where)
                taken.keep(image, data, where)
                for text in texts:
                    rows.caption(where, image, text, split)
    unread.tell(rows)
    return rows.manifest(name, root, taken.places, files)


def _files(root: Path) -> list[Path]:
    return [path for path in annotation_files(root, "*.parquet") if _picture(path)]


def _picture(path: Path) -> str | None:
    """The column that holds pictures."""
    try:
        fields = list(parquet.schema(path))
    except DataError:
        return None
    for field in fields:
        kind = field.type
        inside = pa.types.is_struct(kind) and "bytes" in [kind.field(k).name for k in range(kind.num_fields)]
        if inside or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return str(field.name)
    return None


def _image(row: dict[str, Any], column: str, ids: list[str], where: str) -> tuple[bytes, str]:
    """Bytes and id of a row's picture."""
    value = row[column]
    data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    if not isinstance(data, bytes):
        raise DataError(f"{where}.{column}: no bytes of a picture")
    named = {key: row[key] for key in ids if isinstance(row[key], str | int)}
    for found in (named.get("filename"), named.get("file_name"), path, named.get("image_id"), named.get("img_id")):
        if found not in (None, ""):
            return data, str(found)
    return data, digest(data)
