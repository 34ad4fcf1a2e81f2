"""Tables without a first line that names the columns: CSV or TSV, what stands where is said by ``columns``.

``--columns image,caption`` (or ``caption,-,image,split``, ``image,caption,caption``, ...) names each column of the
table: ``image``, ``caption``, ``split``, and ``-`` for what is not read. A table of two columns of which one is a
picture's name in the first line needs no such words. Tabs separate where the first line has one, else commas. Without
``split`` the file's name says it, and else the image's id decides, as for ``negbench.pipelines.datasets.table``.
"""

from collections.abc import Iterator
from pathlib import Path

from negbench.pipelines.errors import DataError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading import columns
from negbench.pipelines.reading.annotations import Faults, annotation_files, check_id, first_line
from negbench.pipelines.reading.caption_rows import CaptionRows, split_named, splits_of_files
from negbench.pipelines.reading.csv_rows import has_quotes, is_picture, records
from negbench.pipelines.reading.groups import STEM, one_dataset
from negbench.pipelines.reading.image_files import ImageFiles
from negbench.pipelines.reading.list_cells import ListCells
from negbench.pipelines.sources import Source

SETTINGS = ("columns",)
ENDS = ("*.csv", "*.tsv")
IMAGE, CAPTION, SPLIT, UNREAD = "image", "caption", "split", "-"


def detect(folder: Path) -> str | None:
    """A table of two columns, one of them names of pictures; none beside features, which have a reader of their own."""
    if annotation_files(folder, "*.npz", "*.h5", "*.hdf5"):
        return None
    return next((path.name for path in annotation_files(folder, *ENDS) if _plain(path)), None)


def almost(folder: Path) -> str | None:
    """A table whose first line names a picture, among more."""
    for path in annotation_files(folder, *ENDS):
        if any(map(is_picture, _first(path))):
            return f"{path} names no columns: say what they are, as in --columns image,caption"
    return None


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded."""
    root = source.root(name)
    said = source.settings.get("columns")
    tables = [path for path in annotation_files(root, *ENDS) if said is not None or _plain(path)]
    if not tables:
        raise DataError(f"{root}: no {' or '.join(ENDS)} of a picture's name and a caption; see --columns")
    tables = one_dataset(tables, root, source.settings.get(STEM))
    rows = CaptionRows(source)
    notes = []
    files = ImageFiles(root)
    for path, of_file in splits_of_files(tables).items():
        kinds = _kinds(path, said)
        notes.append(f"{path.name}: columns {','.join(kinds)}, separated by {'tabs' if _tabs(path) else 'commas'}")
        _read(rows, path, kinds, of_file, files)
    manifest = rows.manifest(name, root, files.places, tables)
    manifest.info["notes"] = notes
    return manifest


def _read(rows: CaptionRows, path: Path, kinds: list[str], of_file: str | None, files: ImageFiles) -> None:
    """Add the captions of a table."""
    tabs = _tabs(path)
    quotes = not tabs or has_quotes(path, "\t")

    def every(faults: Faults) -> Iterator[tuple[int, list[str]]]:
        return records(path, faults, "\t" if tabs else ",", quotes, files.knows)

    captions = [str(number) for number, kind in enumerate(kinds) if kind == CAPTION]
    whole = (fields for _, fields in every(Faults(skip=True)) if len(fields) == len(kinds))
    cells = ListCells(map(_numbered, whole), captions)
    for column in cells.lists:
        rows.say(path.name, f"each caption in column {int(column) + 1} is a list of captions")
    for number, fields in every(rows.faults):
        where = f"{path}:{number}"
        with rows.row(where):
            if len(fields) != len(kinds):
                raise DataError(f"{where}: {len(fields)} fields, expected {len(kinds)} ({','.join(kinds)})")
            values = list(zip(kinds, (field.strip() for field in fields), strict=True))
            image = check_id(next(value for kind, value in values if kind == IMAGE).removeprefix("./"), where)
            split = next((split_named(value, where) for kind, value in values if kind == SPLIT), of_file)
            for text in columns.texts(cells.read(_numbered(fields), where), captions, where):
                rows.caption(where, image, text, split)


def _numbered(fields: list[str]) -> dict[str, str]:
    """Fields by their numbers, in place of names."""
    return {str(number): field.strip() for number, field in enumerate(fields)}


def _kinds(path: Path, said: object) -> list[str]:
    """What each column is."""
    first = _first(path)
    if said is None:
        return [IMAGE if is_picture(field) else CAPTION for field in first]
    kinds = [kind.strip() for kind in str(said).split(",")]
    unknown = [kind for kind in kinds if kind not in (IMAGE, CAPTION, SPLIT, UNREAD)]
    if unknown or kinds.count(IMAGE) != 1 or CAPTION not in kinds or kinds.count(SPLIT) > 1:
        raise DataError(
            f"--columns {str(said)[:60]}: name each column {IMAGE} (one), {CAPTION}, {SPLIT} (at most one) or {UNREAD}"
        )
    if columns.image_column(first) and columns.caption_columns(first):
        raise DataError(f"{path}: its first line names the columns ({', '.join(first)[:60]}); leave --columns out")
    return kinds


def _plain(path: Path) -> bool:
    first = _first(path)
    return len(first) == 2 and sum(map(is_picture, first)) == 1


def _first(path: Path) -> list[str]:
    """The fields of the first line, for a look."""
    try:
        return [field.strip().strip('"') for field in first_line(path).split("\t" if _tabs(path) else ",")]
    except DataError:
        return []


def _tabs(path: Path) -> bool:
    return "\t" in first_line(path)
