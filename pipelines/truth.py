"""Which captions are true of which images, where that is known for every pair.

The truth is stored as facts: an image has a set of facts, a caption asserts a few of them, and a caption is
true of an image that has all the facts it asserts. ``truth.npz`` in a manifest's folder holds

* ``image_facts`` ``[images, ceil(facts / 8)]`` uint8, bits packed by ``numpy.packbits``;
* ``caption_facts`` ``[captions, K]`` int32, indices of facts, padded with -1;

rows in the order of the manifest's ``images`` and ``captions`` tables. ``truth`` in ``dataset.json`` is the digest of
these facts and part of the manifest's hash: who changes the truth has another dataset.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from negbench.pipelines.errors import DataError, damage
from negbench.pipelines.files import digest
from negbench.pipelines.manifest import Manifest, read_info
from negbench.pipelines.rows import Indices


class Truth:
    """Truth of (image, caption) pairs by their rows in the manifest.

    ``image_facts`` is ``[images, facts]`` boolean, ``caption_facts`` ``[captions, K]`` padded with -1.
    """

    def __init__(self, image_facts: NDArray[np.bool_], caption_facts: NDArray[np.int32]) -> None:
        # One more column, always true, is what the padding -1 points at.
        always = np.ones((len(image_facts), 1), dtype=bool)
        self._image_facts = np.concatenate([image_facts, always], axis=1)
        self._caption_facts = caption_facts

    def pairs(self, images: Indices, captions: Indices) -> NDArray[np.bool_]:
        """Truth of the pairs (images[k], captions[k]): ``[B]`` boolean."""
        asserted = self._caption_facts[captions]
        return np.asarray(self._image_facts[images[:, None], asserted].all(axis=1))

    def matrix(self, images: Indices, captions: Indices) -> NDArray[np.bool_]:
        """Truth of every image with every caption: ``[B, N]`` boolean."""
        facts = self._image_facts[images]
        truth = np.ones((len(images), len(captions)), dtype=bool)
        for asserted in self._caption_facts[captions].T:  # K columns, a handful
            truth &= facts[:, asserted]
        return truth

    def reordered(self, captions: Indices) -> "Truth":
        """The truth of the same images with the captions in another order, given as rows."""
        return Truth(self._image_facts[:, :-1], self._caption_facts[captions])

    @property
    def digest(self) -> str:
        """Of the facts: the same on every machine, however the file is packed."""
        shapes = f"{self._image_facts.shape} {self._caption_facts.shape}"
        packed = np.packbits(self._image_facts[:, :-1], axis=1).tobytes()
        return digest(shapes, packed, self._caption_facts.astype("<i4").tobytes())

    def write(self, folder: Path) -> str:
        """Write ``truth.npz`` into ``folder``; its digest, to stand as ``truth`` in the manifest's ``info``."""
        np.savez_compressed(
            folder / "truth.npz",
            image_facts=np.packbits(self._image_facts[:, :-1], axis=1),
            facts=np.int64(self._image_facts.shape[1] - 1),
            caption_facts=self._caption_facts,
        )
        return self.digest

    @classmethod
    def load(cls, path: Path) -> "Truth":
        """What ``write`` wrote; ``DataError`` where it is no such file."""
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                arrays: dict[str, Any] = dict(file)
            bits = np.unpackbits(arrays["image_facts"], axis=1, count=int(arrays["facts"]))
            return cls(bits.astype(bool), arrays["caption_facts"])
        except OSError as error:
            raise DataError(f"{path}: {damage(error)}") from None
        except Exception:  # zipfile, zlib and numpy raise whatever the damaged bytes lead them to
            raise DataError(f"{path}: cut off or damaged") from None

    @classmethod
    def read(cls, folder: Path) -> "Truth | None":
        """The truth beside a manifest, or None where it is not known; ``DataError`` where it is not the manifest's."""
        path, stated = folder / "truth.npz", read_info(folder).get("truth")
        again = f"make it again with: bench data prepare {folder.name}"
        if not path.exists():
            if stated:
                raise DataError(f"{path} is missing; {again}")
            return None
        try:
            truth = cls.load(path)
        except DataError as error:
            raise DataError(f"{error}; {again}") from None
        if truth.digest != stated:
            raise DataError(f"{path} is not the truth that dataset.json tells of; {again}")
        return truth


def ambiguity_of(manifest: Manifest, truth: Truth, split: str = "test") -> dict[str, float]:
    """How ambiguous the captions of a split are: counts over every pair of its images and captions.

    Gives the number of true pairs, their ratio to the labelled ones, the share of captions true of one image
    only, and quantiles of the images a caption is true of and of the captions true of an image.
    """
    in_split = manifest.images["split"].to_numpy() == split
    images: Indices = np.flatnonzero(in_split)
    ids = manifest.images["image_id"][in_split]
    captions: Indices = np.flatnonzero(manifest.captions["image_id"].isin(ids).to_numpy())
    per_caption = np.zeros(len(captions), dtype=np.int64)
    per_image = np.zeros(len(images), dtype=np.int64)
    for start in range(0, len(images), 500):  # bounds the memory
        true = truth.matrix(images[start : start + 500], captions)
        per_caption += true.sum(axis=0)
        per_image[start : start + 500] = true.sum(axis=1)
    result: dict[str, float] = {
        "labelled_pairs": len(captions),
        "true_pairs": int(per_caption.sum()),
        "true_per_labelled": round(float(per_caption.mean()), 3),
        "captions_true_of_one_image": round(float((per_caption == 1).mean()), 3),
    }
    for name, counts in (("images_per_caption", per_caption), ("captions_per_image", per_image)):
        for quantile in (50, 90, 99, 100):
            result[f"{name}_{'max' if quantile == 100 else f'q{quantile}'}"] = round(
                float(np.percentile(counts, quantile)), 1
            )
    return result
