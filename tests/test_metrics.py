"""Metrics, what chance would score, the protocol's name and the file of ranks."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.errors import NoDataError
from benchmark.evaluation.metrics import chance_rsum, metrics, read_ranks, write_ranks
from benchmark.evaluation.protocols import protocol_for
from benchmark.evaluation.ranks import Ranks, ranks

RANKS = Ranks(i2t=torch.tensor([1.0, 1.5, 5.0, 10.5]), t2i=torch.tensor([1.0, 10.0, 11.0]))
IDS = (["a", "b", "c", "d"], ["a#0", "b#0", "ü#1"])


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


def test_protocols() -> None:
    assert protocol_for("f8k", 1000, 5000).name == "f8k-1k"
    assert protocol_for("coco", 5000, 25000).name == "coco-5k"
    small = protocol_for("f30k", 1014, 5070)
    assert (small.name, small.images, small.captions) == ("f30k-1k-custom", 1014, 5070)
    assert protocol_for("mine", 7, 9).model_dump() == {"name": "mine", "images": 7, "captions": 9}


def test_the_file_of_ranks_comes_back_and_has_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "ranks.npz", tmp_path / "again.npz"
    write_ranks(first, RANKS, *IDS)
    write_ranks(second, RANKS, *IDS)
    assert first.read_bytes() == second.read_bytes()
    stored = read_ranks(first)
    assert stored.i2t.tolist() == RANKS.i2t.tolist()
    assert stored.t2i.dtype == np.float32
    assert (stored.i2t_ids.tolist(), stored.t2i_ids.tolist()) == IDS


def test_ranks_need_as_many_ids(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="t2i: 3 ranks, but 1 ids"):
        write_ranks(tmp_path / "ranks.npz", RANKS, IDS[0], ["a#0"])


def test_a_broken_file_of_ranks_gives_one_line(tmp_path: Path) -> None:
    path = tmp_path / "ranks.npz"
    with pytest.raises(NoDataError, match="No such file"):
        read_ranks(path)
    write_ranks(path, RANKS, *IDS)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(NoDataError) as caught:
            read_ranks(path)
        assert "\n" not in str(caught.value)
    for middle in range(0, len(whole), 5):  # either noticed, or harmless (a byte of the names or dates)
        path.write_bytes(whole[:middle] + b"\xff" + whole[middle + 1 :])
        with contextlib.suppress(NoDataError):
            assert read_ranks(path).i2t.tolist() == RANKS.i2t.tolist()
    np.savez(path, i2t=np.ones(1), t2i=np.ones(1), i2t_ids=np.array([None], dtype=object), t2i_ids=np.ones(1))
    with pytest.raises(NoDataError):
        read_ranks(path)
    np.savez(path, i2t=np.ones(1))
    with pytest.raises(NoDataError, match="t2i"):
        read_ranks(path)
