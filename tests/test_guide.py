"""What a guide knows of an anchor: the recipe's ``guide``, and that it changes no digest where it is not used."""

from typing import Any

import pytest
import torch
from torch import Tensor

from negbench import methods
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.training.extras import ExtrasOf, of_another, other_captions
from negbench.benchmark.training.inputs import SplitTensors, opened, towers_for
from negbench.benchmark.training.loop import train
from negbench.methods.base import Guide
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore

Tiny = tuple[Manifest, FeatureStore]


def config(**changes: Any) -> RunConfig:
    recipe = {"epochs": 2, "batch": 20, "memory": 0, "dim": 8}
    return RunConfig(**({"method": "fnc-elimination", "dataset": "tiny", "encoder": "made+up"} | recipe | changes))


def test_a_cell_with_another_guide_is_another_cell() -> None:
    cell = config()
    for other in ("own", "shuffled"):
        changed = cell.model_copy(update={"guide": other})
        assert changed.hash != cell.hash
        assert changed.recipe_hash != cell.recipe_hash
        assert f"guide={other}" in changed.label("hog+ngrams")


def guide_of(tiny: Tiny, captions: Tensor, known: str) -> tuple[Guide, SplitTensors]:
    model = towers_for(tiny[1], config())
    data = opened(tiny[1], "train", config(), model)
    method = methods.get("gist")()
    give = ExtrasOf([method], data, model, captions_known=known)
    pool = data.caption_rows[captions]
    guide = give(method, captions, pool, torch.zeros_like(pool)).guide
    assert guide is not None
    return guide, data


def test_a_guide_may_know_the_own_caption_alone(tiny: Tiny) -> None:
    captions = torch.tensor([5, 40, 7])
    every, own = guide_of(tiny, captions, "image")[0], guide_of(tiny, captions, "own")[0]
    assert own.support.shape[1] == 1 < every.support.shape[1]
    assert torch.equal(own.support[:, 0], every.support[:, 0])
    assert torch.equal(own.text, every.text)
    assert torch.equal(own.image, every.image)


def test_a_shuffled_guide_knows_as_much_of_another_image(tiny: Tiny) -> None:
    data = guide_of(tiny, torch.tensor([0]), "image")[1]
    captions = torch.arange(len(data.captions))
    plain, shuffled = guide_of(tiny, captions, "image")[0], guide_of(tiny, captions, "shuffled")[0]
    images, rows = of_another(data.caption_image, len(data.images))
    assert torch.equal(shuffled.text, plain.text[rows])
    assert torch.equal(shuffled.image, plain.image[rows])
    assert (data.caption_image[rows] == images[data.caption_image]).all()  # picture and captions of one image
    assert (images != torch.arange(len(images))).all()
    assert sorted(rows.tolist()) == captions.tolist()
    among = shuffled.support @ shuffled.support[:, 0, :, None]
    own = plain.support[rows] @ plain.support[rows, 0][:, :, None]
    torch.testing.assert_close(among.sort(dim=1).values, own.sort(dim=1).values)
    again = guide_of(tiny, captions, "shuffled")[0]
    assert torch.equal(again.text, shuffled.text)


def test_other_images_of_uneven_captions() -> None:
    caption_image = torch.tensor([0, 2, 0, 3, 0, 2])  # image 1 has none
    images, rows = of_another(caption_image, 4)
    assert images[1] == 1
    assert sorted(images.tolist()) == [0, 1, 2, 3]
    assert (caption_image[rows] == images[caption_image]).all()
    assert other_captions(caption_image).shape == (6, 2)


@pytest.mark.parametrize("method", ["fnc-elimination", "fnc-attraction", "sacl"])
def test_controls_train_and_differ(tiny: Tiny, method: str) -> None:
    losses = {
        known: train(config(method=method, guide=known), tiny[1], None).history[-1]["loss"]
        for known in ("image", "own", "shuffled")
    }
    assert losses["shuffled"] != losses["image"]
    assert (losses["own"] != losses["image"]) == (method != "sacl")  # which compares with the partner alone
