"""Precomputed image features in the layout of VSE++, SCAN and their many children.

Files of the folder, for each of ``train``, ``dev``, ``test`` (``testall`` is taken before ``test``):
``<split>_ims.npy`` (``[n, D]`` or regions ``[n, R, D]``, floats, a row per image, or every row the same number of
times, five in the older releases: found from the rows themselves), ``<split>_caps.txt`` (a caption a line, the same
number for each image), and where it is there ``<split>_ids.txt`` (an image id a line, perhaps as often as its row).
``<split>_caps.npy`` may hold features of the captions, a row for each line: ``[captions, D]``, or tokens
``[captions, L, D]``. Floats are float16, float32 or float64; the store has them in float32, or as it was asked for.

That line of work cuts any dev split to 5,000 captions. Flickr30K's files may therefore hold 1,014 images on one
side and 1,000 on the other: then the first 1,000 are taken.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.errors import DataError
from negbench.pipelines.files import digest
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading.annotations import Faults, check_id, check_text, line_count, lines
from negbench.pipelines.reading.caption_rows import CaptionRows, Place
from negbench.pipelines.rows import BLOCK, release
from negbench.pipelines.sources import Source
from negbench.pipelines.store import check_finite, load_array

FEATURES = True
SPLIT_NAMES = {"train": ["train"], "val": ["dev", "val"], "test": ["testall", "test"]}
CAPTIONS = "_caps.npy"
"""Ends the name of a file of captions' features."""
REPEATS = 5  # of each row in the older releases, and captions of an image
MOST_EQUAL = 0.2
"""Share of rows equal to the row before them that may be chance: one picture under two names."""
NEARLY = 1e-4
"""Share of a row's largest value by which rows may differ that are one image's: noise of floats."""
LOOK = 1 << 22
"""Values that are looked at for it."""
SHOWN = 3
FLOATS = (np.float16, np.float32, np.float64)
ENDS = ("ims.npy", "caps.txt", "ids.txt", "caps.npy")
F30K_DEV, CUT_DEV = 1014, 1000  # images

Numbers = NDArray[np.int64]
Matrix = NDArray[np.floating[Any]]


def detect(folder: Path) -> str | None:
    """A split's features."""
    files = [f"{part}_ims.npy" for parts in SPLIT_NAMES.values() for part in parts]
    return next((file for file in files if (folder / file).exists()), None)


def almost(folder: Path) -> str | None:
    """A folder below that has them."""
    below = next((path for path in sorted(folder.glob("*")) if path.is_dir() and detect(path)), None)
    return f"the features lie in {below}: give that folder" if below else None


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: row counts, dtype, finite values, ids."""
    root = source.root(name)
    if not detect(root) and (said := almost(root)):
        raise DataError(f"{root}: {said}")
    rows = CaptionRows(source)
    places: dict[str, Place] = {}
    files: list[Path] = []
    shapes: dict[str, tuple[int, ...]] = {}
    zeros: list[str] = []
    for split, parts in SPLIT_NAMES.items():
        part = _part(root, parts)
        others = (f"{other}_{end}" for other in parts if other != part for end in ENDS)
        rows.unused |= dict.fromkeys(others, f"{part}_ims.npy is read")
        path, texts_file, ids_file = (root / f"{part}_{end}" for end in ("ims.npy", "caps.txt", "ids.txt"))
        features = load_features(path)
        shapes[path.name] = features.shape[1:]
        texts = _texts(texts_file, rows.faults)
        count, features = _cut(split, features, line_count(texts_file))
        which = _image_rows(path, features, count)
        ids = _ids(ids_file, part, len(which))
        found = list(row_places(path.name, features, which))
        _check_tiled(path, found)
        zeros += zero_rows(zip(ids, (place.content for place in found), strict=True), features)
        for number, (image, place) in enumerate(zip(ids, found, strict=True), start=1):
            if image in places:
                raise DataError(f"{ids_file}: image_id '{image}' stands twice (image {number:,})")
            places[image] = place
        each = count // len(which)
        for number, text in texts.items():
            if number <= count:
                image, k = ids[(number - 1) // each], (number - 1) % each
                rows.caption(f"{texts_file}:{number}", image, text, split, caption_id=f"{image}#{k}")
            else:
                rows.leave_out("captions of images that were cut off the dev split")
        given = _given(root, part)
        files += [path for path in (path, texts_file, ids_file, *given) if path.exists()]
    if len(set(shapes.values())) > 1:
        seen = ", ".join(f"{file} {' x '.join(f'{size:,}' for size in shape)}" for file, shape in shapes.items())
        raise DataError(f"{root}: features differ in width: {seen}")
    manifest = rows.manifest(name, root, lambda _: places, files, images_are="features")
    manifest.info.update(told_zeros(zeros))
    return manifest


def load_features(path: Path, shown: Path | None = None) -> Matrix:
    """A memory-mapped array of features, checked; ``shown`` is the file to name in errors where it is another."""
    if not path.is_file():
        raise DataError(f"{path}: not a file" if path.exists() else f"{path} is missing")
    try:
        features: Matrix = load_array(path)
    except DataError as error:
        raise DataError(str(error).replace(str(path), str(shown or path))) from None
    path = shown or path
    if features.ndim not in (2, 3) or 0 in features.shape:
        raise DataError(f"{path}: shape {list(features.shape)}, expected [n, D] or regions [n, R, D]")
    if features.dtype not in FLOATS:
        raise DataError(f"{path}: {features.dtype} values, expected float16 or float32 (float64 is read, too)")
    check_finite(path, features)
    if features.dtype == np.float64 and max(features.max(), -features.min()) > np.finfo(np.float32).max:
        raise DataError(f"{path}: values beyond what float32 can hold; scale them")
    return features


def _part(root: Path, parts: list[str]) -> str:
    """What a split is called there."""
    return next((part for part in parts if (root / f"{part}_ims.npy").exists()), parts[0])


def _given(root: Path, part: str) -> list[Path]:
    """The file of the features of a split's captions, checked, where there is one."""
    path, texts = root / f"{part}{CAPTIONS}", root / f"{part}_caps.txt"
    if not path.exists():
        return []
    rows, count = len(load_features(path)), line_count(texts)
    if rows != count:
        raise DataError(f"{path}: {rows:,} rows for {count:,} captions in {texts}; it needs a row for each line")
    return [path]


class CaptionFeatures:
    """The features of captions that came with the dataset, by the text: equal texts have those of the first."""

    def __init__(self, root: Path) -> None:
        """``DataError`` where a split has none, or they are of unlike widths."""
        self._root, self._arrays = root, dict[str, Matrix]()
        for parts in SPLIT_NAMES.values():
            part = _part(root, parts)
            path = root / f"{part}{CAPTIONS}"
            self._arrays[part] = load_features(path)
            if self._arrays[part].shape[1:] != self.shape:
                raise DataError(f"{path}: {list(self._arrays[part].shape[1:])} for a caption, not {list(self.shape)}")

    @cached_property
    def _rows(self) -> dict[str, tuple[str, int]]:
        """Where the features of each text are; read when the first is asked for."""
        rows: dict[str, tuple[str, int]] = {}
        for part in self._arrays:
            for number, text in _texts(self._root / f"{part}_caps.txt", Faults(skip=True)).items():
                rows.setdefault(text, (part, number - 1))
        return rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a caption: ``(D,)`` or ``(L, D)``."""
        return next(iter(self._arrays.values())).shape[1:]

    def of(self, text: str) -> NDArray[np.float32]:
        """Of a caption of the dataset."""
        part, row = self._rows[text]
        return np.asarray(self._arrays[part][row], dtype=np.float32)


def row_places(file: str, features: Matrix, which: Iterable[int]) -> Iterator[Place]:
    """The places of these rows; what is mapped does not grow with the file."""
    read = 0
    for row in which:
        vector = features[row]
        yield Place(file, int(row), digest(vector.tobytes()))
        read += vector.nbytes
        if read > BLOCK:
            release(features)
            read = 0


def zero_rows(contents: Iterable[tuple[str, str]], features: Matrix) -> list[str]:
    """The images whose features are zeros alone, by image and digest."""
    zeros = digest(bytes(features[0].nbytes))
    return [image for image, content in contents if content == zeros]


def told_zeros(images: list[str]) -> dict[str, list[str]]:
    """What the manifest says of them, where there are any."""
    some = ", ".join(images[:SHOWN]) + ", ..." * (len(images) > SHOWN)
    said = f"images whose features are zeros alone, which say nothing of the picture: {len(images):,} ({some})"
    return {"notes": [said]} if images else {}


def _check_tiled(path: Path, places: list[Place]) -> None:
    """``DataError`` where every row stands again, but not beside itself (a b c a b c)."""
    number = Counter(place.content for place in places)
    if len(number) > 1 and (times := min(number.values())) > 1:
        first, again = [place.row for place in places if place.content == places[0].content][:2]
        raise DataError(
            f"{path}: each row stands {times} times or more, not side by side (row {first} again as row {again}): which"
            " captions are an image's cannot be seen; keep each row once, its captions together"
        )


def _check_nearly(path: Path, features: Matrix) -> None:
    """``DataError`` where rows are repeated but for the noise of floats, as far as the first of them show."""
    look = min(len(features), max(2, LOOK // features[0].size))
    part = np.asarray(features[:look], dtype=np.float64).reshape(look, -1)
    apart = np.abs(part[1:] - part[:-1]).max(axis=1)
    starts = np.append(0, 1 + np.flatnonzero(apart > NEARLY * np.abs(part[1:]).max(axis=1)))
    runs = np.diff(np.append(starts, len(part)) if len(part) == len(features) else starts)
    times = int(np.gcd.reduce(runs)) if len(runs) > 1 else 1
    if times > 1:
        within = np.delete(apart, starts[1:] - 1).max()
        raise DataError(
            f"{path}: rows are nearly equal {times} at a time (apart by {within:.0e} at most), not to the bit as"
            f" repeats of an image are; keep one of each: numpy.save({path.name!r},"
            f" numpy.load({path.name!r})[::{times}])"
        )


def _texts(path: Path, faults: Faults) -> dict[int, str]:
    """Good captions by line."""
    texts = {}
    for number, text in lines(path, faults):
        with faults.row():
            texts[number] = check_text(text, f"{path}:{number}", "caption")
    return texts


def _cut(split: str, features: Matrix, captions: int) -> tuple[int, Matrix]:
    """Number of captions, and the rows, where only one of the two files of Flickr30K's dev split was cut."""
    if split == "val" and captions == CUT_DEV * REPEATS and len(features) in (F30K_DEV, F30K_DEV * REPEATS):
        features = features[: len(features) // F30K_DEV * CUT_DEV]
    elif split == "val" and captions == F30K_DEV * REPEATS and len(features) in (CUT_DEV, CUT_DEV * REPEATS):
        captions = CUT_DEV * REPEATS
    return captions, features


def _image_rows(path: Path, features: Matrix, captions: int) -> Numbers:
    """The row of each image: all rows, or the first of each block where all rows stand equally often."""
    count = len(features)
    starts = _starts(features)
    runs = np.diff(np.append(starts, count))
    times = int(np.gcd.reduce(runs)) if len(runs) > 1 else 1
    if times == 1 and len(runs) > 1 and count - len(runs) > MOST_EQUAL * count:
        usual = int(np.bincount(runs).argmax())
        first = starts[np.flatnonzero(runs % usual)[0]] if (runs % usual).any() else starts[np.argmin(runs)]
        raise DataError(
            f"{path}: rows {first}-{first + max(usual, 2) - 1} differ, but rows are repeated elsewhere, most of them"
            f" {usual} times; each image needs one row, or all of them as many"
        )
    if times == 1:
        _check_nearly(path, features)
    images = count // times
    if captions == 0 or captions % images:
        stand = f"{images:,} images, each {times} times, in " if times > 1 else ""
        raise DataError(
            f"{path}: {stand}{count:,} rows for {captions:,} captions; captions must be a multiple of the rows"
        )
    return np.arange(0, count, times)


def _starts(features: Matrix) -> Numbers:
    """The rows that differ from the row before them; what is mapped does not grow with the file."""
    step = max(2, BLOCK * len(features) // features.nbytes)
    found = [0]
    for start in range(0, len(features) - 1, step - 1):
        part = features[start : start + step].reshape(min(step, len(features) - start), -1)
        found += (start + 1 + np.flatnonzero((part[1:] != part[:-1]).any(axis=1))).tolist()
        release(features)
    return np.array(found, dtype=np.int64)


def _ids(path: Path, part: str, images: int) -> list[str]:
    """An id for each image: of the file, which may name it once for each row, or made of split and row."""
    if not path.exists():
        return [f"{part}-{row}" for row in range(images)]
    ids = [check_id(line.strip(), f"{path}:{number}") for number, line in lines(path, Faults(whole=True))]
    if part == "dev" and images == CUT_DEV and len(ids) in (F30K_DEV, F30K_DEV * REPEATS):
        ids = ids[: len(ids) // F30K_DEV * CUT_DEV]
    if len(ids) == images:
        return ids
    times = len(ids) // images
    if len(ids) != images * times or not times:
        raise DataError(f"{path}: {len(ids):,} ids for {images:,} images; remove the file to number them by row")
    for number, image_id in enumerate(ids):
        if image_id != ids[number - number % times]:
            raise DataError(f"{path}:{number + 1}: id {image_id} within the block of {ids[number - number % times]}")
    return ids[::times]
