"""Noise as a knob: a share of the training captions is exchanged among the training images.

The noise of noisy-correspondence work (Z. Huang et al. 2021, NeurIPS), with two differences: every chosen caption
really changes its image (there, a shuffled caption may fall back on its own), and what was right before is kept
as judgements, so that one can tell which pairs are noise. Validation and test are left alone.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from negbench.pipelines.errors import DataError, invalid
from negbench.pipelines.files import digest
from negbench.pipelines.manifest import Manifest, table
from negbench.pipelines.rows import Indices
from negbench.pipelines.truth import Truth

SOURCE = "noise"
"""Source of the judgements that say where an exchanged caption belongs."""


class Noise(BaseModel):
    """The settings of ``data/<name>.yaml`` that stand for noise."""

    model_config = ConfigDict(frozen=True, strict=True)

    noise_ratio: float = Field(default=0.0, ge=0, le=1)
    """Share of the training captions that change their image."""
    noise_seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Exchange:
    """Which captions stand where."""

    order: Indices
    """``[C]``: the old row of each caption."""
    images: NDArray[np.object_]
    """``[C]``: the image of each, in the new order."""
    rows: Indices
    """The old rows of those whose image changed."""


def settings(name: str, given: dict[str, Any]) -> tuple[Noise, dict[str, Any]]:
    """The noise among a source's settings, and the settings that are left for its reader."""
    try:
        noise = Noise.model_validate(given)
    except ValidationError as error:
        raise DataError(f"data/{name}.yaml: {invalid(error)}") from None
    return noise, {key: value for key, value in given.items() if key not in Noise.model_fields}


def add(manifest: Manifest, noise: Noise, folder: Path) -> Manifest:
    """Exchange ``round(ratio * n)`` of the ``n`` training captions; ``truth.npz`` in ``folder`` follows them.

    Captions keep their ids and texts. Every image keeps its number of captions. A caption is chosen by its id and
    the seed alone, so the captions of a smaller ratio are among those of a larger one.
    """
    if noise.noise_ratio == 0:
        return manifest
    captions = manifest.captions
    train = set(manifest.images["image_id"][manifest.images["split"] == "train"])
    rows = np.flatnonzero(captions["image_id"].isin(train).to_numpy())
    lots = [digest(f"{noise.noise_seed} {caption}") for caption in captions["caption_id"].iloc[rows]]
    chosen = rows[np.argsort(lots, kind="stable")[: round(noise.noise_ratio * len(rows))]]
    images = captions["image_id"].to_numpy(dtype=object)
    order = np.arange(len(captions))
    order[chosen] = _exchanged(chosen, images) if len(chosen) else chosen
    about = {**noise.model_dump(), "captions": len(rows), "exchanged": len(chosen)}
    return moved(manifest, Exchange(order, images, chosen), about, folder)


def moved(manifest: Manifest, exchange: Exchange, about: dict[str, Any], folder: Path) -> Manifest:
    """The manifest after an exchange, with judgements that say what was right before; ``truth.npz`` follows.

    ``about`` is what ``dataset.json`` says of the noise.
    """
    captions = manifest.captions
    right = captions.iloc[exchange.rows]
    before = table("judgements", [(image, caption, 1.0, SOURCE) for caption, image, _ in right.itertuples(index=False)])
    truth = Truth.load(folder / "truth.npz") if (folder / "truth.npz").exists() else None
    known = {} if truth is None else {"truth": truth.reordered(exchange.order).write(folder)}
    return Manifest(
        manifest.name,
        manifest.images,
        captions.iloc[exchange.order].assign(image_id=exchange.images).reset_index(drop=True),
        pd.concat([manifest.judgements, before.sort_values("caption_id")], ignore_index=True),
        manifest.info | {"noise": about, **known},
    )


def undone(manifest: Manifest) -> pd.DataFrame:
    """The captions with the images they were written for."""
    said = manifest.judgements[manifest.judgements["source"] == SOURCE]
    own = dict(zip(said["caption_id"], said["image_id"], strict=True))
    captions = manifest.captions
    pairs = zip(captions["caption_id"], captions["image_id"], strict=True)
    return captions.assign(image_id=[own.get(caption, image) for caption, image in pairs])


def _exchanged(chosen: Indices, owner: NDArray[np.object_]) -> Indices:
    """For each chosen row the chosen row whose caption it gets, of another image.

    ``chosen`` is in random order; shifting it by one is a random exchange but for neighbours of one image. Each of
    those swaps with the next row that neither gives nor takes a caption of that image.
    """
    image, most = Counter(owner[chosen]).most_common(1)[0]
    if 2 * most > len(chosen):
        raise DataError(
            f"noise: {most:,} of the {len(chosen):,} captions to exchange are of image {image}, too many for the other"
            " images; choose another noise ratio or noise seed"
        )
    givers = np.roll(chosen, 1)
    for place in np.flatnonzero(owner[givers] == owner[chosen]):
        image = owner[chosen[place]]
        if owner[givers[place]] == image:  # no earlier swap took it away
            free = np.flatnonzero((owner[givers] != image) & (owner[chosen] != image))
            other = free[np.searchsorted(free, place) % len(free)]
            givers[[place, other]] = givers[[other, place]]
    return givers
