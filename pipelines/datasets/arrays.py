"""Features in one HDF5 or .npz file, with a list of ids and a table of captions.

======================================  ======================================================================
``*.npz``, ``*.h5`` or ``*.hdf5``        an array ``features`` (or the only one): ``[n, D]`` or ``[n, R, D]``,
                                        float16 or float32
``ids.txt`` or ``*_ids.txt``            an image id a line, in the order of the rows
``*.csv``, ``*.jsonl``, ``*.parquet``   the captions, as in ``negbench.pipelines.datasets.table``; ``image`` is the id
======================================  ======================================================================

Rows without captions are left out and counted. The array is copied into the dataset's own folder as
``features.npy``, which can be read in parts.
"""

import math
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from negbench.pipelines.datasets import table
from negbench.pipelines.datasets.precomp import load_features, row_places, told_zeros, zero_rows
from negbench.pipelines.errors import DataError, RequestError, damage
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading.annotations import Faults, annotation_files, check_id, lines
from negbench.pipelines.reading.caption_rows import CaptionRows, Place
from negbench.pipelines.reading.groups import STEM, stem_among, the_one
from negbench.pipelines.sources import Source
from negbench.pipelines.sources.archives import RATIO, limit_of

FEATURES = True
TAKES_OUT = True
KEY = "features"
COPY = "features.npy"
CHUNK = 1024  # rows


def detect(folder: Path) -> str | None:
    """The file of features."""
    return next((path.name for path in annotation_files(folder, "*.npz", "*.h5", "*.hdf5")), None)


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: row counts, dtype, finite values, ids; copy the array into ``folder``."""
    root = source.folder(name)
    stem = source.settings.get(STEM)
    path = _one(root, stem, "*.npz", "*.h5", "*.hdf5")
    ids_file = _one(root, stem and f"{stem}_ids", "ids.txt", "*_ids.txt")
    copy = folder / COPY
    if path.suffix == ".npz":
        _copy_npz(path, copy)
    else:
        _copy_hdf5(path, copy)
    features = load_features(copy, shown=path)
    rows = CaptionRows(source)
    row_of = _ids(ids_file, len(features), path)
    tables = table.read(root, rows, stem_among(table.table_files(root), root, stem))

    def places(rows: CaptionRows) -> dict[str, Place]:
        unknown = [image for image in rows.pictures if image not in row_of]
        if unknown and len(unknown) == len(rows.pictures):
            said = f"nor is any other of {len(unknown):,}; the first id there is {next(iter(row_of))}"
            raise DataError(f"{rows.where[unknown[0]]}: image {unknown[0]} is not in {ids_file}, {said}")
        for image in unknown:
            rows.faults.add(f"{rows.where[image]}: image {image} is not in {ids_file}")
        described = {image: row for image, row in row_of.items() if image in rows.pictures}
        rows.skipped["features without captions"] = len(row_of) - len(described)
        return dict(zip(described, row_places(COPY, features, described.values()), strict=True))

    manifest = rows.manifest(name, root, places, [path, ids_file, *tables], images_are="features")
    contents = zip(manifest.images["image_id"], manifest.images["content"], strict=True)
    manifest.info.update(told_zeros(zero_rows(contents, features)))
    return manifest


def _one(root: Path, stem: str | None, *patterns: str) -> Path:
    found = annotation_files(root, *patterns)
    return the_one(found, root, " or ".join(patterns), stem_among(found, root, stem))


def _ids(path: Path, count: int, of: Path) -> dict[str, int]:
    """Id to row."""
    row_of: dict[str, int] = {}
    for number, line in lines(path, Faults(whole=True)):
        image = check_id(line.strip(), f"{path}:{number}")
        if image in row_of:
            raise DataError(f"{path}:{number}: {image} stands twice")
        row_of[image] = len(row_of)
    if len(row_of) != count:
        raise DataError(f"{path}: {len(row_of):,} ids for {count:,} rows of {of.name}")
    return row_of


def _key(path: Path, names: list[str]) -> str:
    if KEY in names or len(names) == 1:
        return KEY if KEY in names else names[0]
    raise DataError(f"{path}: no array '{KEY}' among {', '.join(names)[:80] or 'none'}")


def _copy_npz(path: Path, copy: Path) -> None:
    """A member of an ``.npz`` file is an ``.npy`` file."""
    try:
        with zipfile.ZipFile(path) as file:
            names = [name.removesuffix(".npy") for name in file.namelist() if name.endswith(".npy")]
            chosen = file.getinfo(f"{_key(path, names)}.npy")
            _check_size(path, chosen.file_size)
            with file.open(chosen) as member, copy.open("wb") as out:
                shutil.copyfileobj(member, out)
    except DataError:
        raise
    except Exception as error:  # what zipfile and zlib raise on broken bytes is of any kind
        raise DataError(f"{path}: not an .npz archive that can be read: {damage(error)}") from None


def _own_arrays(path: Path, file: Any, h5py: Any) -> list[str]:
    """Names of the arrays whose values stand in the file itself; ``DataError`` where some are taken from elsewhere."""
    names = []
    for name in file:
        link = file.get(name, getlink=True)  # before it is followed
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"{path}: '{name}' is a link; write the array itself into the file")
        if isinstance(file[name], h5py.Dataset):
            if file[name].external or file[name].is_virtual:
                raise DataError(f"{path}: '{name}' stands in other files; write the array itself into this one")
            names.append(name)
    return names


def _check_size(path: Path, *sizes: int) -> None:
    """``DataError`` where an array is far larger than the file that says it holds it."""
    if max(sizes) > limit_of(path):
        raise DataError(
            f"{path}: holds {max(sizes) / 1e9:,.1f} GB in a file of {path.stat().st_size / 1e9:,.3f} GB, more than"
            f" {RATIO} times as much; if it is what it should be, write it without compression"
        )


def _copy_hdf5(path: Path, copy: Path) -> None:
    try:
        import h5py
    except ModuleNotFoundError:
        raise RequestError(f"{path}: needs the package 'h5py'; run: pip install 'negbench[hdf5]'") from None
    try:
        with h5py.File(path, "r") as file:
            array = file[_key(path, _own_arrays(path, file, h5py))]
            _check_size(path, array.nbytes, math.prod(array.chunks or ()) * array.dtype.itemsize)
            if array.ndim not in (2, 3) or array.dtype.kind != "f":
                raise DataError(f"{path}: {list(array.shape)} {array.dtype}, expected floats [n, D] or [n, R, D]")
            header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
            with copy.open("wb") as out:  # no memory map: on a full disk that is a bus error
                np.lib.format.write_array_header_1_0(out, header)
                for start in range(0, len(array), CHUNK):
                    out.write(array[start : start + CHUNK].tobytes())
    except DataError:
        raise
    except Exception as error:  # what h5py raises on broken bytes is of any kind
        raise DataError(f"{path}: not HDF5 that can be read: {damage(error)}") from None
