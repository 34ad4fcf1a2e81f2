"""Metrics, what chance would score, and the protocol's name."""

import pytest
import torch

from benchmark.evaluation.metrics import chance_rsum, metrics
from benchmark.evaluation.protocols import protocol_for
from benchmark.evaluation.ranks import Ranks, ranks

RANKS = Ranks(i2t=torch.tensor([1.0, 1.5, 5.0, 10.5]), t2i=torch.tensor([1.0, 10.0, 11.0]))


def test_metrics_by_hand() -> None:
    found = metrics(RANKS)
    assert found == pytest.approx(
        {
            "i2t_r1": 25, "i2t_r5": 75, "i2t_r10": 75, "i2t_medr": 3.25, "i2t_meanr": 4.5,
            "t2i_r1": 100 / 3, "t2i_r5": 100 / 3, "t2i_r10": 200 / 3, "t2i_medr": 10, "t2i_meanr": 22 / 3,
            "rsum": 175 + 400 / 3,
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


def test_protocols() -> None:
    assert protocol_for("f8k", 1000, 5000).name == "f8k-1k"
    assert protocol_for("coco", 5000, 25000).name == "coco-5k"
    small = protocol_for("f30k", 1014, 5070)
    assert (small.name, small.images, small.captions) == ("f30k-1k-custom", 1014, 5070)
    assert protocol_for("mine", 7, 9).model_dump() == {"name": "mine", "images": 7, "captions": 9}
