"""Metrics, what chance would score, and the protocol's name."""

from pathlib import Path

import numpy as np
import pytest
import torch

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.evaluation.metrics import CUTOFFS, chance_rsum, check_cutoffs, metrics
from negbench.benchmark.evaluation.protocols import PROTOCOLS, Protocol, measure, protocols_for
from negbench.benchmark.evaluation.ranks import Ranks, ranks
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.sweeps import cell
from negbench.benchmark.training.watcher import Watcher
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources.known import KNOWN
from negbench.pipelines.store import FeatureStore

RANKS = Ranks(i2t=torch.tensor([1.0, 1.5, 5.0, 10.5]), t2i=torch.tensor([1.0, 10.0, 11.0]))


def test_metrics_by_hand() -> None:
    found = metrics(RANKS)
    assert found == pytest.approx(
        {
            "i2t_r1": 25, "i2t_r5": 75, "i2t_r10": 75, "i2t_medr": 3.25, "i2t_meanr": 4.5,
            "t2i_r1": 100 / 3, "t2i_r5": 100 / 3, "t2i_r10": 200 / 3, "t2i_medr": 10, "t2i_meanr": 22 / 3,
            "rsum": 175 + 400 / 3, "mr": (175 + 400 / 3) / 6,
        }
    )  # fmt: skip
    assert all(type(value) is float for value in found.values())


@pytest.mark.parametrize("counts", [[1] * 30, [5] * 12, [0, 3, 1, 7, 2, 2, 0, 1, 9, 4], [2]])
def test_chance_is_what_random_features_score(counts: list[int]) -> None:
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    random = torch.Generator().manual_seed(0)
    scores = [
        metrics(ranks(torch.randn(len(counts), 64, generator=random), torch.randn(len(owner), 64, generator=random),
                      owner))["rsum"]
        for _ in range(400)
    ]  # fmt: skip
    assert sum(scores) / len(scores) == pytest.approx(chance_rsum(owner, len(counts)), abs=4)


def test_recall_at_any_k() -> None:
    found = metrics(RANKS, cutoffs=(2, 100))
    assert {key: found[key] for key in ("i2t_r2", "i2t_r100", "t2i_r2", "t2i_r100")} == pytest.approx(
        {"i2t_r2": 50, "i2t_r100": 100, "t2i_r2": 100 / 3, "t2i_r100": 100}
    )
    assert "i2t_r1" not in found
    assert found["rsum"] == metrics(RANKS)["rsum"]


def test_a_cutoff_beyond_the_gallery_is_refused() -> None:
    check_cutoffs(CUTOFFS, images=10, captions=10)
    with pytest.raises(ValueError, match="R@10 needs a gallery of at least 10 images; this one has 9"):
        check_cutoffs(CUTOFFS, images=9, captions=45)
    with pytest.raises(ValueError, match="R@0: K counts from 1"):
        check_cutoffs((0,), images=9, captions=45)


def test_protocols() -> None:
    assert [protocol.name for protocol in protocols_for("f8k", 1000, 5000)] == ["f8k-1k"]
    assert [protocol.model_dump() for protocol in protocols_for("coco", 5000, 25000)] == [
        {"name": "coco-5k", "images": 5000, "captions": 25000, "folds": 1},
        {"name": "coco-1k-5fold", "images": 1000, "captions": 5000, "folds": 5},
        {"name": "coco-1k-first", "images": 1000, "captions": 5000, "folds": 1},
    ]
    (small,) = protocols_for("f30k", 1014, 5070)
    assert (small.name, small.images, small.captions) == ("f30k-1k-custom", 1014, 5070)
    assert [protocol.name for protocol in protocols_for("coco", 5000, 25010)] == ["coco-5k-custom"]
    (own,) = protocols_for("mine", 7, 9)
    assert own.model_dump() == {"name": "mine", "images": 7, "captions": 9, "folds": 1}


def test_names_of_protocols_differ_and_agree_with_the_catalogue() -> None:
    names = [protocol.name for each in PROTOCOLS.values() for protocol in each]
    assert len(set(names)) == len(names)
    for dataset, known in KNOWN.items():
        assert known.protocol == PROTOCOLS[dataset][0].name
        assert known.counts["test"] == PROTOCOLS[dataset][0].images


def test_folds_are_contiguous_galleries_of_their_own() -> None:
    """Captions in any order; every metric is the mean over the folds, the median's too."""
    random = torch.Generator().manual_seed(1)
    images = torch.randn(60, 12, generator=random)
    owner = torch.arange(180)[torch.randperm(180, generator=random)] // 3
    captions = images[owner] + 1.5 * torch.randn(180, 12, generator=random)
    found = measure(Protocol(name="folds", images=20, captions=60, folds=3), images, captions, owner)
    matrix = (images @ captions.T).double().numpy()
    each: dict[str, list[float]] = {"i2t_r1": [], "i2t_medr": [], "i2t_meanr": []}
    for first in (0, 20, 40):
        own = np.flatnonzero((owner >= first) & (owner < first + 20))
        positions = []
        for image in range(first, first + 20):
            order = own[np.argsort(-matrix[image, own])]
            positions.append(1 + int(np.flatnonzero(owner[order] == image)[0]))
        each["i2t_r1"].append(100 * float(np.mean(np.array(positions) == 1)))
        each["i2t_medr"].append(float(np.median(positions)))
        each["i2t_meanr"].append(float(np.mean(positions)))
    for name, values in each.items():
        assert found.metrics[name] == pytest.approx(np.mean(values))
    one = measure(Protocol(name="first", images=20, captions=60), images, captions, owner)
    assert one.metrics["i2t_meanr"] == pytest.approx(each["i2t_meanr"][0])
    assert one.metrics["rsum"] != pytest.approx(found.metrics["rsum"])
    with pytest.raises(ValueError, match="fold 3 has 10 images and 30 captions, not 25 and 75"):
        measure(Protocol(name="folds", images=25, captions=75, folds=3), images, captions, owner)


def test_a_split_too_small_for_the_recalls_is_refused_before_the_training(
    tiny: tuple[Manifest, FeatureStore], tmp_path: Path
) -> None:
    manifest, store = tiny
    gone = manifest.images["image_id"] == "test9"
    small = Manifest("tiny", manifest.images[~gone], manifest.captions[manifest.captions["image_id"] != "test9"])
    config = RunConfig(method="hardest", dataset="tiny", encoder="made+up", epochs=1, batch=16, memory=8, dim=8)
    with pytest.raises(NoDataError, match="tiny: the test split is too small: R@10 needs a gallery of at least 10"):
        cell.run(config, tmp_path / "out", small, store, Watcher())
    assert not (tmp_path / "out").exists()
