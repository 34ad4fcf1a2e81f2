"""A folder of pictures and a table (CSV, TSV, JSONL, Parquet) with the columns image, caption and perhaps split.

The first line of CSV and TSV names the columns, and shows what separates them where that is neither comma nor tab as
the file's name says. In columns separated by tabs quotes are letters, unless they stand around fields all through the
file. JSONL holds an object a line. ``image`` (also ``filepath``,
``file_name``, ...) is the picture's path, ``caption`` (also ``text``, ...) one caption or, in JSONL and Parquet, a
list of them; ``caption_0``, ``caption_1``, ... are several. Without ``split`` the file's name says it
(``train.csv``), or lists of images (``train.txt``), and else the image's id decides: 80 % train, 10 % val, 10 % test
(``reading.caption_rows``).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import columns, parquet
from negbench.pipelines.reading.annotations import (
    Faults,
    annotation_files,
    first_line,
    lines,
    parse_json,
)
from negbench.pipelines.reading.caption_rows import CaptionRows, splits_of_files
from negbench.pipelines.reading.csv_rows import has_quotes, records
from negbench.pipelines.reading.groups import STEM, one_dataset
from negbench.pipelines.reading.image_files import ImageFiles, form
from negbench.pipelines.reading.list_cells import ListCells
from negbench.pipelines.reading.split_files import read_splits, seems_list, split_files
from negbench.pipelines.reading.unread import Unread
from negbench.pipelines.sources import Source

EXPECTS = "*.csv, *.tsv, *.jsonl or *.parquet with columns image and caption"
DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons"}
ENDS = ("*.csv", "*.tsv", "*.jsonl", "*.parquet")

Fields = tuple[str, dict[str, Any]]
"""Where it stands, values by column."""


class ColumnsError(DataError):
    """A table without a column for images or for captions."""


def detect(folder: Path) -> str | None:
    """A table with both columns; none beside features, which have a reader of their own."""
    if annotation_files(folder, "*.npz", "*.h5", "*.hdf5"):
        return None
    return next((path.name for path in table_files(folder)), None)


def almost(folder: Path) -> str | None:
    """The columns of a table that has others, or else why one cannot be read."""
    faults = sorted(_others(folder).values(), key=lambda fault: not isinstance(fault, ColumnsError))
    return str(faults[0]) if faults else None


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded."""
    root = source.root(name)
    files = ImageFiles(root)
    rows = CaptionRows(source)
    lists = [(split, path) for split, path in split_files(root, knows=files.knows) if seems_list(path, files.knows)]
    tables = read(root, rows, source.settings.get(STEM), files, lists)
    return rows.manifest(name, root, files.places, [*tables, *(path for _, path in lists if rows.split_by_lists)])


def read(
    root: Path,
    rows: CaptionRows,
    stem: str | None = None,
    files: ImageFiles | None = None,
    lists: Sequence[tuple[str, Path]] = (),
) -> list[Path]:
    """Add the captions of all tables in ``root`` to ``rows``; the tables.

    With ``files`` an image beside a table in a folder of its own is named with the folder. ``lists`` say the splits
    where the tables do not.
    """
    tables, others = table_files(root), _others(root)
    if not tables:
        raise next(iter(others.values()), DataError(f"{root}: no {EXPECTS}"))
    rows.unused |= {path.relative_to(root).as_posix(): str(error) for path, error in others.items()}
    tables = one_dataset(tables, root, stem)
    of_files = splits_of_files(tables)
    listed: dict[str, tuple[str, str]] = {}
    if not any(of_files.values()) and not any(columns.split_column(_names(path)) for path in tables):
        listed = read_splits(list(lists), rows.dialects)
    split_of = _with_names_alone({form(image): split for image, (split, _) in listed.items()})
    rows.split_by_lists = bool(split_of)
    named: dict[str, None] = {}
    unread = Unread()
    for path, of_file in of_files.items():
        beside = path.parent.relative_to(root).as_posix()
        for where, row in _rows(path, rows, files):
            with rows.row(where):
                image_column, caption_columns, split_column = _columns(path, row)
                unread.see(path, row, (image_column, *caption_columns, split_column))
                columns.check_agreement(row, where, ids=files is None)
                image = columns.image(row, image_column, where)
                named |= _forms(image) if split_of else {}
                if files and beside != "." and f"{beside}/{image}" in files:
                    image = f"{beside}/{image}"
                split = columns.split(row, split_column, where) or of_file or _split_listed(image, split_of)
                texts = columns.texts(row, caption_columns, where)
                if split_of and split is None:
                    rows.leave_out("captions of images in no split", len(texts))
                    continue
                for text in texts:
                    rows.caption(where, image, text, split)
    _check_lists(listed, named, rows, files)
    unread.tell(rows)
    return tables


def _split_listed(image: str, split_of: dict[str, str]) -> str | None:
    """The split that lists say, which name an image by its path or its file, with suffix or without."""
    return next((split_of[name] for name in _forms(image) if name in split_of), None)


def _with_names_alone(split_of: dict[str, str]) -> dict[str, str]:
    """Also under the names of the files alone, where lists have paths and each is of another name."""
    names = {PurePosixPath(image).name: split for image, split in split_of.items()}
    return names | split_of if len(names) == len(split_of) else split_of


def _forms(image: str) -> dict[str, None]:
    """What lists may call an image, the longest first."""
    path = PurePosixPath(form(image))
    return dict.fromkeys((str(path), str(path.with_suffix("")), path.name, path.stem))


def _check_lists(
    listed: dict[str, tuple[str, str]], named: dict[str, None], rows: CaptionRows, files: ImageFiles | None
) -> None:
    """``DataError`` where lists name what neither a row names nor a picture; pictures without a row are counted."""
    bare = [image for image in listed if named.keys().isdisjoint((form(image), form(PurePosixPath(image).name)))]
    unknown = [image for image in bare if files is None or not files.knows(image)]
    if unknown:
        more = f", nor are {len(unknown) - 1:,} others of {len(listed):,}" if len(unknown) > 1 else ""
        raise DataError(
            f"{listed[unknown[0]][1]}: {unknown[0][:80]!r} is no picture that is there, nor named by a row{more};"
            " a list names an image on each line and nothing else, and is taken whole"
        )
    rows.skipped["images of the lists without a caption"] = len(bare)


def table_files(root: Path) -> list[Path]:
    """Tables that have both columns. What is no table at all is let be."""
    others = _others(root)
    return [path for path in annotation_files(root, *ENDS) if path not in others]


def _others(root: Path) -> dict[Path, DataError]:
    """Files of a table's name that are none with both columns, and why."""
    found = {}
    for path in annotation_files(root, *ENDS):
        try:
            _columns(path, dict.fromkeys(_names(path)))
        except DataError as error:
            found[path] = error
    return found


def _columns(path: Path, row: dict[str, Any]) -> tuple[str, list[str], str | None]:
    image, captions = columns.image_column(row), columns.caption_columns(row)
    if image is None or not captions:
        raise ColumnsError(f"{path} has columns {', '.join(map(str, row))[:80]}, but not image and caption")
    return image, captions, columns.split_column(row)


def _names(path: Path) -> list[str]:
    """Names of the columns, from the file's beginning."""
    if path.suffix == ".parquet":
        schema = parquet.schema(path)
        return [] if any(map(_is_picture, schema.types)) else list(schema.names)
    text = first_line(path)
    if path.suffix == ".jsonl":
        row = parse_json(text, str(path))
        return list(row) if isinstance(row, dict) else []
    return _split(text, _delimiter(path, text))


def _is_picture(kind: Any) -> bool:
    """Whether a column's values hold the picture itself."""
    return bool(pa.types.is_struct(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _delimiter(path: Path, head: str) -> str:
    """What separates columns: what the file's name says, or else what the line of their names ``head`` shows."""
    usual = "\t" if path.suffix == ".tsv" else ","
    for one in (usual, *(each for each in DELIMITERS if each != usual)):
        names = _split(head, one)
        if columns.image_column(names) and columns.caption_columns(names):
            return one
    return usual


def _split(head: str, delimiter: str) -> list[str]:
    return head.strip().replace('"', "").split(delimiter)


def _rows(path: Path, rows: CaptionRows, files: ImageFiles | None) -> Iterator[Fields]:
    if path.suffix == ".parquet":
        names = _names(path)
        columns.check_names(names, str(path))
        return ((f"{path}: [{number}]", row) for number, row in parquet.rows(path, names))
    return _objects(path, rows.faults) if path.suffix == ".jsonl" else _records(path, rows, files)


def _objects(path: Path, faults: Faults) -> Iterator[Fields]:
    for number, line in lines(path, faults):
        if not line.strip():
            continue
        with faults.row():
            row = parse_json(line, f"{path}:{number}")
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: not an object: {line[:60]!r}")
            columns.check_names(row, f"{path}:{number}")
            yield f"{path}:{number}", row


def _records(path: Path, rows: CaptionRows, files: ImageFiles | None) -> Iterator[Fields]:
    delimiter = _delimiter(path, first_line(path))
    quotes = delimiter != "\t" or has_quotes(path, delimiter)
    if said := _dialect(path, delimiter, quotes):
        rows.say(path.name, said)

    def every(faults: Faults) -> Iterator[tuple[str, dict[str, str]]]:
        knows = files.knows if files else str.isdecimal
        return _with_names(path, records(path, faults, delimiter, quotes, knows), faults)

    cells = ListCells(
        (row for _, row in every(Faults(skip=True))), columns.caption_columns(map(str.strip, _names(path)))
    )
    for column in cells.lists:
        rows.say(path.name, f"each {column} is a list of captions")
    for where, row in every(rows.faults):
        with rows.faults.row():
            yield where, cells.read(row, where)


def _with_names(
    path: Path, found: Iterator[tuple[int, list[str]]], faults: Faults
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows below the line of names, by them."""
    names: list[str] = []
    for number, fields in found:
        if not names:
            names = [field.strip() for field in fields]
            columns.check_names(names, f"{path}:{number}")
        elif len(fields) != len(names):
            faults.add(f"{path}:{number}: {len(fields)} fields, expected {len(names)}: {','.join(fields)[:60]!r}")
        else:
            yield f"{path}:{number}", dict(zip(names, fields, strict=True))


def _dialect(path: Path, delimiter: str, quotes: bool) -> str:
    """How a table is read, where that is not what its name says."""
    usual = "\t" if path.suffix == ".tsv" else ","
    said = [] if delimiter == usual else [f"separated by {DELIMITERS[delimiter]}"]
    return ", ".join(said + ([] if quotes else ["its quotes are letters"]))
