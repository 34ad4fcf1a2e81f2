"""Recall under true positives against an obviously right version on the whole matrix."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmark import cell
from benchmark.config import RunConfig
from benchmark.evaluation.metrics import CUTOFFS, metrics
from benchmark.evaluation.ranks import BLOCK, Ranks, ranks
from benchmark.evaluation.true_recall import Rows, true_ranks, true_recall
from benchmark.training import Watcher
from pipelines.manifest import Manifest
from pipelines.store import FeatureStore
from pipelines.truth import Truth

Gallery = tuple[Tensor, Tensor, Tensor]


def position(query: list[float], true: list[bool]) -> float:
    best = max(value for value, is_true in zip(query, true, strict=True) if is_true)
    false = [value for value, is_true in zip(query, true, strict=True) if not is_true]
    return 1 + sum(value > best for value in false) + sum(value == best for value in false) / 2


def naive(gallery: Gallery, image_rows: Rows, caption_rows: Rows, truth: Truth) -> tuple[list[float], list[float]]:
    """Pair by pair."""
    images, captions, owner = gallery[0].float(), gallery[1].float(), gallery[2].tolist()
    matrix = (images @ captions.T).tolist()
    true = [
        [
            owner[c] == i or bool(truth.pairs(image_rows[i : i + 1], caption_rows[c : c + 1])[0])
            for c in range(len(captions))
        ]
        for i in range(len(images))
    ]
    i2t = [position(matrix[i], true[i]) for i in sorted(set(owner))]
    t2i = [position([row[c] for row in matrix], [row[c] for row in true]) for c in range(len(captions))]
    return i2t, t2i


def lists(found: Ranks) -> tuple[list[float], list[float]]:
    return found.i2t.tolist(), found.t2i.tolist()


@st.composite
def judged(draw: st.DrawFn) -> tuple[Gallery, Rows, Rows, Truth]:
    """Small integers, so that ties abound; rows scattered over a larger manifest; facts few or many."""
    count, total = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    features = torch.randint(-2, 3, (count + total, draw(st.integers(1, 3))), generator=random).float()
    owner = torch.randint(draw(st.integers(1, count)), (total,), generator=random)
    facts = torch.rand(count + 20, 6, generator=random) < draw(st.sampled_from([0.02, 0.3, 0.9]))
    asserted = torch.randint(6, (total + 20, 2), generator=random)
    asserted[torch.rand(total + 20, generator=random) < 0.5, 1] = -1
    rows = [torch.randperm(size + 20, generator=random)[:size].numpy() for size in (count, total)]
    truth = Truth(facts.numpy(), asserted.numpy().astype(np.int32))
    return (features[:count], features[count:], owner), rows[0], rows[1], truth


@settings(max_examples=30, deadline=None)
@given(judged(), st.sampled_from([1, 128, BLOCK]))
def test_equals_the_naive_version_with_many_ties(case: tuple[Gallery, Rows, Rows, Truth], block: int) -> None:
    gallery, *known = case
    assert lists(true_ranks(*gallery, *known, block=block)) == naive(gallery, *known)


@pytest.mark.parametrize("each", [1, 3])
def test_without_other_true_pairs_it_is_the_plain_recall(each: int) -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.nn.functional.normalize(torch.randn(150, 24, generator=random), dim=1)
    owner = torch.arange(150).repeat_interleave(each)[torch.randperm(150 * each, generator=random)]
    captions = images[owner] + 0.5 * torch.randn(len(owner), 24, generator=random)
    truth = Truth(np.eye(150, dtype=bool), owner.numpy().astype(np.int32)[:, None])
    plain = ranks(images, captions, owner)
    for block in (64, BLOCK):
        found = true_ranks(images, captions, owner, np.arange(150), np.arange(len(owner)), truth, block)
        if block == BLOCK:
            assert lists(found) == lists(plain)
        assert true_recall(found)["true_rsum"] == pytest.approx(metrics(plain)["rsum"])


def test_any_true_candidate_is_a_find_and_the_labelled_pair_is_always_true() -> None:
    """Two images: caption 0 is labelled 0 but lies at image 1, of which it is true as well; caption 1 is vague."""
    images, captions = torch.eye(2), torch.eye(2)[[1, 1]]
    owner, rows = torch.tensor([0, 1]), np.arange(2)
    nothing = Truth(np.zeros((2, 1), dtype=bool), np.zeros((2, 1), dtype=np.int32))
    vague = Truth(np.array([[False], [True]]), np.zeros((2, 1), dtype=np.int32))
    # image 0 ties with both captions; image 1 ties as well, but both are true of it
    assert lists(true_ranks(images, captions, owner, rows, rows, nothing)) == ([1.5, 1.5], [2, 1])
    assert lists(true_ranks(images, captions, owner, rows, rows, vague)) == ([1.5, 1], [1, 1])


def test_rows_that_do_not_fit() -> None:
    truth = Truth(np.ones((2, 1), dtype=bool), np.zeros((2, 1), dtype=np.int32))
    with pytest.raises(ValueError, match="1 and 2 rows for 2 and 2 items"):
        true_ranks(torch.eye(2), torch.eye(2), torch.arange(2), np.arange(1), np.arange(2), truth)


def test_a_record_holds_it_where_the_truth_is_known(tiny: tuple[Manifest, FeatureStore], tmp_path: Path) -> None:
    manifest, store = tiny
    config = RunConfig(method="hardest", dataset="tiny", encoder="made+up", epochs=2, batch=16, memory=8, dim=8)
    found = cell.run(config, tmp_path / "known", manifest, store, Watcher()).metrics
    for key in (f"{direction}_r{cutoff}" for direction in ("i2t", "t2i") for cutoff in CUTOFFS):
        assert found[key] <= found[f"true_{key}"] <= 100
    assert found["rsum"] < found["true_rsum"] <= 600
    (tmp_path / "data/tiny/truth.npz").unlink()
    unknown = cell.run(config, tmp_path / "unknown", manifest, store, Watcher()).metrics
    assert unknown == {key: value for key, value in found.items() if not key.startswith("true_")}
