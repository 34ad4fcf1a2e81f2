"""Histograms of similarities: what a training does to positives, negatives and false negatives, epoch by epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.evaluation.gallery import Gallery
from negbench.benchmark.evaluation.known_pairs import MATCH, NO_MATCH, UNKNOWN, KnownPairs

BINS = 200
"""From -1 to 1."""
BLOCK = 512
"""Images at a time."""
FITTED = ("method_positive_mean", "method_positive_std", "method_negative_mean", "method_negative_std")
"""What a method that fits two normal distributions notes of an epoch."""

Counts = NDArray[np.int64]


@torch.no_grad()
def histograms(gallery: Gallery, batch: int, seed: int, known_pairs: KnownPairs | None = None) -> dict[str, Counts]:
    """``[200]`` counts per kind of pair, over all images and captions.

    * ``positive``: labelled pairs; ``negative``: all others;
    * ``hardest``: of each anchor in random batches of ``batch`` pairs, both directions;
    * with a ``known_pairs``: ``false_negative`` and ``true_negative``, the negatives known to match and not to.
    """
    images, captions, caption_image = gallery.images, gallery.captions, gallery.caption_image
    positive = torch.zeros(BINS, dtype=torch.int64, device=images.device)
    every = positive.clone()
    known = {"false_negative": positive.clone(), "true_negative": positive.clone()} if known_pairs else {}
    columns = torch.arange(len(captions), device=images.device)
    for start in range(0, len(images), BLOCK):
        places = bins(images[start : start + BLOCK] @ captions.T)
        own = columns[(caption_image >= start) & (caption_image < start + BLOCK)]
        every += places.flatten().bincount(minlength=BINS)
        positive += places[caption_image[own] - start, own].bincount(minlength=BINS)
        if known_pairs:
            codes = known_pairs.block(np.arange(start, start + len(places)), np.arange(len(captions)))
            codes[(caption_image[own] - start).cpu().numpy(), own.cpu().numpy()] = UNKNOWN
            for name, code in (("false_negative", MATCH), ("true_negative", NO_MATCH)):
                flat = torch.from_numpy(np.flatnonzero(codes == code)).to(images.device)
                known[name] += places.flatten()[flat].bincount(minlength=BINS)
    counts = {
        "positive": positive,
        "negative": every - positive,
        "hardest": bins(hardest(images, captions, caption_image, batch, seed)).bincount(minlength=BINS),
        **known,
    }
    return {name: count.cpu().numpy() for name, count in counts.items()}


def hardest(images: Tensor, captions: Tensor, caption_image: Tensor, batch: int, seed: int) -> Tensor:
    """Similarity of the hardest negative of each anchor, in random batches: ``[2 C]`` at most."""
    order = torch.randperm(len(captions), generator=torch.Generator().manual_seed(seed)).to(images.device)
    found = []
    for some in torch.split(order, batch):
        own = caption_image[some]
        similarity = (images[own] @ captions[some].T).masked_fill(own[:, None] == own, -torch.inf)
        found += [similarity.amax(dim=1), similarity.amax(dim=0)]
    values = torch.cat(found)
    return values[values > -torch.inf]  # a batch of one image has none


def bins(similarity: Tensor) -> Tensor:
    """The bin of each similarity; what rounding puts outside [-1, 1] falls into the outermost."""
    return ((similarity + 1) * (BINS / 2)).clamp_(0, BINS - 1).to(torch.uint8)  # a byte is quick to count


def write_similarities(
    path: Path, epochs: Sequence[dict[str, Counts]], history: Sequence[dict[str, float]], more: dict[str, Any]
) -> None:
    """Write ``similarities.npz``.

    ``edges [201]``; of the validation split ``validation_<kind> [E, 200]``, a row per epoch; ``fitted [E, 4]``, FNE's
    mean and deviation of positives and of negatives, NaN where there are none; and what ``more`` holds.
    """
    arrays: dict[str, Any] = {f"validation_{name}": np.stack([epoch[name] for epoch in epochs]) for name in epochs[0]}
    arrays["edges"] = np.linspace(-1, 1, BINS + 1)
    arrays["fitted"] = np.array([[row.get(name, np.nan) for name in FITTED] for row in history])
    with path.open("wb") as file:  # a handle, so that numpy adds no suffix
        np.savez_compressed(file, **arrays, **more)


def read_similarities(path: Path) -> dict[str, NDArray[Any]]:
    """Read ``similarities.npz``; ``NoDataError`` in one line where it is missing, cut off or not such a file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = dict(arrays)
    except OSError as error:
        raise NoDataError(f"{path}: {error.strerror or error}") from None
    except Exception:  # zipfile and numpy raise whatever the damaged bytes lead them to
        raise NoDataError(f"{path}: cut off, or no file of similarities; run the cell again") from None
    if len(found.get("edges", ())) != BINS + 1 or "fitted" not in found:
        raise NoDataError(f"{path}: no file of similarities; run the cell again")
    return found
