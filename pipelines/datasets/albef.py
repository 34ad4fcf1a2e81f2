"""JSON lists of ALBEF and BLIP: one file per split, a row per caption (train) or per image (val, test).

``[{"image": PATH, "caption": TEXT or [TEXT, ...], "image_id": ID}]`` in files whose names say the split, such as
``flickr30k_train.json`` and ``coco_karpathy_test.json``. ``image_id`` may be missing; where it is there, one id is
one image. The pictures lie anywhere below the folder. An image's id is its path as it stands there.

Source: J. Li et al. (2021), Align before Fuse, NeurIPS; J. Li et al. (2022), BLIP, ICML.
"""

from pathlib import Path

from negbench.pipelines.errors import DataError
from negbench.pipelines.files import open_plain
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.reading.annotations import Entry, annotation_files, entry, items, read_json
from negbench.pipelines.reading.caption_rows import CaptionRows, split_of_file
from negbench.pipelines.reading.groups import STEM, one_dataset
from negbench.pipelines.reading.image_files import ImageFiles
from negbench.pipelines.sources import Source


class Pair(Entry):
    """A row."""

    image: str
    caption: str | list[str]
    image_id: int | str | None = None


def detect(folder: Path) -> str | None:
    """A file of a split that begins as a list."""
    return next((path.name for path in _files(folder) if _is_list(path)), None)


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Read and check everything: every picture is decoded."""
    root = source.root(name)
    files = one_dataset(_files(root), root, source.settings.get(STEM))
    rows = CaptionRows(source)
    image_of: dict[tuple[str, str], str] = {}
    for path in files:
        split = split_of_file(path)
        assert split is not None
        for number, value in enumerate(items(read_json(path), str(path))):
            where = f"{path}: [{number}]"
            with rows.row(where):
                pair = entry(Pair, value, where)
                if pair.image_id is not None:
                    before = image_of.setdefault((split, str(pair.image_id)), pair.image)
                    if before != pair.image:
                        raise DataError(f"{where}.image_id: {pair.image_id} is {pair.image}, but was {before}")
                for caption in [pair.caption] if isinstance(pair.caption, str) else items(pair.caption, where):
                    rows.caption(where, pair.image, caption, split)
    return rows.manifest(name, root, ImageFiles(root).places, files)


def _files(root: Path) -> list[Path]:
    """JSON files whose names say a split; not the ground truth for captioning that BLIP hands out beside them."""
    found = annotation_files(root, "*.json")
    return [path for path in found if split_of_file(Path(path.name)) and not path.stem.endswith("_gt")]


def _is_list(path: Path) -> bool:
    try:
        with open_plain(path) as file:
            return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    except (OSError, DataError):
        return False
