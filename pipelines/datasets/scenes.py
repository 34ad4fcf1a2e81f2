"""Rendered pictures of a few shapes with captions whose truth is known for every picture; needs no download.

Settings: ``seed``; ``train``, ``val``, ``test`` images; ``ambiguity`` of the captions in [0, 1]. Five captions
per image, from very specific to vague. Deterministic: a scene depends on its seed, split and number alone.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from negbench.pipelines.errors import DataError, invalid
from negbench.pipelines.manifest import SPLITS, Manifest, table
from negbench.pipelines.scenes import facts
from negbench.pipelines.scenes.grammar import MOST_FACTS, Caption, caption
from negbench.pipelines.scenes.render import SIDE, render
from negbench.pipelines.scenes.world import Scene, generator, scene
from negbench.pipelines.sources import Source
from negbench.pipelines.truth import Truth

LEVELS = (0.1, 0.25, 0.5, 0.75, 1.1)
"""Vagueness of an image's five captions at ambiguity 1."""

ImageCount = Annotated[int, Field(ge=1, le=100_000)]


class SceneSettings(BaseModel):
    """What can be set in ``data/<name>.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seed: int = Field(default=0, ge=0)
    train: ImageCount = 4000
    val: ImageCount = 500
    test: ImageCount = 500
    ambiguity: float = Field(default=0.5, ge=0, le=1)
    """How vague captions are: 0 nearly always describes one image only."""


def settings(name: str, given: dict[str, Any]) -> SceneSettings:
    """The checked settings of a source; ``DataError`` names the first wrong one."""
    try:
        return SceneSettings.model_validate(given)
    except ValidationError as error:
        raise DataError(f"data/{name}.yaml: {invalid(error, SceneSettings.model_fields)}") from None


def scenes(chosen: SceneSettings) -> dict[str, list[Scene]]:
    """The scenes of every split."""
    return {
        split: [scene(chosen.seed, number, index) for index in range(getattr(chosen, split))]
        for number, split in enumerate(SPLITS)
    }


def captions(chosen: SceneSettings, split: int, index: int, of: Scene) -> list[Caption]:
    """The five captions of one scene, from specific to vague."""
    lot = generator(chosen.seed, split, index, "captions")
    return [caption(of, lot, chosen.ambiguity * level) for level in LEVELS]


def build(name: str, source: Source, folder: Path) -> Manifest:
    """Draw the scenes; write ``images.npy`` and ``truth.npz`` into ``folder`` and return the manifest."""
    chosen = settings(name, source.settings)
    world = scenes(chosen)
    total = sum(map(len, world.values()))
    image_rows: list[tuple[Any, ...]] = []
    caption_rows: list[tuple[Any, ...]] = []
    asserted: list[tuple[facts.Fact, ...]] = []
    with (folder / "images.npy").open("wb") as pictures:  # no memory map: on a full disk that is a bus error
        header = {"descr": "|u1", "fortran_order": False, "shape": (total, SIDE, SIDE, 3)}
        np.lib.format.write_array_header_1_0(pictures, header)
        for number, (split, of_split) in enumerate(world.items()):
            for index, one in enumerate(of_split):
                row, image_id = len(image_rows), f"{split}-{index:05d}"
                picture = render(one, generator(chosen.seed, number, index, "picture")).tobytes()
                pictures.write(picture)
                content = hashlib.blake2b(picture, digest_size=16).hexdigest()
                image_rows.append((image_id, split, "images.npy", row, content))
                for place, said in enumerate(captions(chosen, number, index, one)):
                    caption_rows.append((f"{image_id}-{place}", image_id, said.text))
                    asserted.append(said.facts)
    truth = truth_of([one for of_split in world.values() for one in of_split], asserted)
    info = {
        "format": "scenes",
        "licence": "CC0-1.0",
        "source": "generated",
        "settings": chosen.model_dump(),
        "truth": truth.write(folder),
    }
    return Manifest(name, table("images", image_rows), table("captions", caption_rows), info=info)


def truth_of(world: list[Scene], asserted: list[tuple[facts.Fact, ...]]) -> Truth:
    """The truth of every scene (rows) with every caption, given the facts each asserts."""
    known = list(dict.fromkeys(fact for some in asserted for fact in some))
    index = {fact: number for number, fact in enumerate(known)}
    caption_facts = np.full((len(asserted), MOST_FACTS), -1, dtype=np.int32)
    for row, some in enumerate(asserted):
        caption_facts[row, : len(some)] = [index[fact] for fact in some]
    return Truth(facts.table(world, known), caption_facts)
