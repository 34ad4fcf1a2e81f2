"""What the heads of today read: vectors on both sides. A store may hold pixels, or captions as text alone."""

from pathlib import Path
from typing import TYPE_CHECKING

from negbench.benchmark.errors import BenchError
from negbench.pipelines.rows import Rows

if TYPE_CHECKING:
    from negbench.pipelines.store import FeatureStore, Form, Split

SUCH_AS = {"images": "hog", "captions": "ngrams"}
"""An encoder to vectors that needs nothing."""
SAID = {"pixels": "pixels", "texts": "captions as text only"}


def check_vectors(store: "FeatureStore") -> None:
    """``BenchError`` where a side of the store is no vectors; reads no features."""
    _check(store.folder, store.forms)


def vectors_of(split: "Split") -> dict[str, Rows]:
    """``images`` and ``captions`` of a split; ``BenchError`` where either is no vectors."""
    pixels = len(split.images.shape) == 4
    _check(
        split.images.path.parent,
        {"images": "pixels" if pixels else "vectors", "captions": "texts" if split.captions is None else "vectors"},
    )
    return {"images": split.images} | ({} if split.captions is None else {"captions": split.captions})


def _check(folder: Path, forms: "dict[str, Form]") -> None:
    found = [SAID[form] for form in forms.values() if form in SAID]
    if found:
        names = zip(forms.items(), folder.name.split("+"), strict=True)
        better = "+".join(SUCH_AS[side] if form in SAID else name for (side, form), name in names)
        raise BenchError(
            f"{folder} has {' and '.join(found)}; a tower on vectors needs an encoder such as {better}:"
            f" bench features --dataset {folder.parent.name} --encoder {better}"
        )
