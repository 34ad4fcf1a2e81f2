"""What the tests of training and audit share: a small cell, its captions, what it is asked, a gallery."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from negbench import methods
from negbench.benchmark.audit.asking import Examination
from negbench.benchmark.evaluation.gallery import Gallery
from negbench.benchmark.evaluation.known_pairs import Codes, KnownPairs, exact
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.training.extras import ExtrasOf, Texts
from negbench.benchmark.training.inputs import opened, towers_for
from negbench.methods.base import Method
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.rows import Indices
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth

Tiny = tuple[Manifest, FeatureStore]
DIM = 12  # of the features in ``tiny``


def config(**changes: Any) -> RunConfig:
    plain: dict[str, Any] = {
        "method": "hardest",
        "dataset": "tiny",
        "encoder": "made+up",
        "epochs": 3,
        "batch": 16,
        "memory": 8,
        "dim": 8,
        "learning_rate": 0.01,
    }
    return RunConfig(**(plain | changes))


TEXTS = Texts(
    [f"caption {k % 3} of image {k // 3}" for k in range(180)],
    lambda lines: np.array([[len(line) % (k + 2) for k in range(DIM)] for line in lines], dtype=np.float32),
)


class All(KnownPairs):
    """Every pair is judged, by a matrix ``[I, C]`` of codes."""

    def __init__(self, codes: Codes) -> None:
        self.codes = codes

    def block(self, images: Indices, captions: Indices) -> Codes:
        return self.codes[images[:, None], captions]


def examined(tiny: Tiny, name: str, memory: int = 8, split: str = "test") -> tuple[Method, Examination, KnownPairs]:
    method, model = methods.get(name)(), towers_for(tiny[1], config())
    data, trained = (opened(tiny[1], which, config(), model) for which in (split, "train"))
    extras_of = ExtrasOf([method], trained, model, TEXTS).of(data)
    known_pairs = exact(Truth.read(manifest_folder("tiny")), data.split.image_rows, data.split.caption_rows)
    assert known_pairs is not None
    return method, Examination.of(config(memory=memory), data.gallery(model), extras_of, "test"), known_pairs


def gallery_of(images: Tensor, captions: Tensor, owner: Tensor) -> Gallery:
    rows = owner, torch.arange(len(images)), torch.arange(len(captions))
    return Gallery(images, captions, *rows, [f"i{k}" for k in range(len(images))], [f"c{k}" for k in range(len(owner))])
