"""Precomputed image features in the layout of VSE++ and SCAN.

Files of the folder, for each of ``train``, ``dev``, ``test``: ``<split>_ims.npy`` (``[n, D]`` float16 or
float32, a row per image, or every row five times as in the older releases), ``<split>_caps.txt`` (a caption a
line, the same number for each image), and where it is there ``<split>_ids.txt`` (an image id a line).
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError
from pipelines.files import digest, file_digest, read_lines
from pipelines.manifest import Manifest, table
from pipelines.sources import Source
from pipelines.store import check_finite, load_array

SPLIT_NAMES = {"train": "train", "val": "dev", "test": "test"}
REPEATS = 5  # of each row in the older releases

Rows = NDArray[np.int64]
Matrix = NDArray[np.floating[Any]]


def detect(folder: Path) -> bool:
    """Whether there is any split's feature file."""
    return any((folder / f"{part}_ims.npy").exists() for part in SPLIT_NAMES.values())


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: row counts, dtype, finite values, ids."""
    root = source.root(name)
    images: list[tuple[Any, ...]] = []
    captions: list[tuple[str, str, str]] = []
    files: dict[str, str] = {}
    dims: dict[str, int] = {}
    for split, part in SPLIT_NAMES.items():
        features = _features(root / f"{part}_ims.npy")
        texts = _texts(root / f"{part}_caps.txt")
        rows = _image_rows(root / f"{part}_ims.npy", features, len(texts))
        ids = _ids(root / f"{part}_ids.txt", part, len(rows), len(features))
        each = len(texts) // len(rows)
        for image_id, row in zip(ids, rows.tolist(), strict=True):
            images.append((image_id, split, f"{part}_ims.npy", row, digest(features[row].tobytes())))
        captions += [(f"{ids[k // each]}#{k % each}", ids[k // each], text) for k, text in enumerate(texts)]
        dims[f"{part}_ims.npy"] = features.shape[1]
        for end in ("ims.npy", "caps.txt", "ids.txt"):
            if (path := root / f"{part}_{end}").exists():
                files[path.name] = file_digest(path)
    if len(set(dims.values())) > 1:
        raise DataError(f"{root}: features differ in width: {', '.join(f'{f} {d:,}' for f, d in dims.items())}")
    info = {"images_are": "features", "skipped": {}, "files": files}
    return Manifest(name, table("images", images), table("captions", captions), info=info)


def _features(path: Path) -> Matrix:
    if not path.exists():
        raise DataError(f"{path} is missing")
    features: Matrix = load_array(path)
    if features.ndim == 3:
        raise DataError(f"{path}: region features {list(features.shape)} are not supported yet; pool them to [n, D]")
    if features.ndim != 2 or 0 in features.shape:
        raise DataError(f"{path}: shape {list(features.shape)}, expected [n, D]")
    if features.dtype not in (np.float16, np.float32):
        raise DataError(f"{path}: {features.dtype} values, expected float16 or float32")
    check_finite(path, features)
    return features


def _texts(path: Path) -> list[str]:
    texts = [line.strip() for line in read_lines(path)]
    for number, text in enumerate(texts, start=1):
        if not text:
            raise DataError(f"{path}:{number}: caption is empty")
    return texts


def _image_rows(path: Path, features: Matrix, captions: int) -> Rows:
    """The row of each image: all rows, or every fifth where rows are repeated."""
    count = len(features)
    if captions == 0 or captions % count:
        raise DataError(f"{path}: {count:,} rows for {captions:,} captions; captions must be a multiple of the rows")
    if captions > count or count % REPEATS:
        return np.arange(count)
    blocks = features.reshape(count // REPEATS, REPEATS, -1)
    same = np.array([bool((block == block[0]).all()) for block in blocks])
    if same.all():
        return np.arange(0, count, REPEATS)
    if same.mean() <= 0.5:  # one caption for each image
        return np.arange(count)
    first = int(np.argmin(same)) * REPEATS
    raise DataError(f"{path}: rows {first}-{first + REPEATS - 1} differ, but rows are repeated five times elsewhere")


def _ids(path: Path, part: str, images: int, rows: int) -> list[str]:
    """An id for each image: of the file, which may name it once for each row, or made of split and row."""
    if not path.exists():
        return [f"{part}-{row}" for row in range(images)]
    ids = [line.strip() for line in read_lines(path)]
    for number, image_id in enumerate(ids, start=1):
        if not image_id:
            raise DataError(f"{path}:{number}: id is empty")
    if len(ids) == images:
        return ids
    if len(ids) != images * REPEATS:
        raise DataError(f"{path}: {len(ids):,} ids for {images:,} images; remove the file to number them by row")
    for number, image_id in enumerate(ids):
        if image_id != ids[number - number % REPEATS]:
            raise DataError(f"{path}:{number + 1}: id {image_id} within the block of {ids[number - number % REPEATS]}")
    return ids[::REPEATS]
