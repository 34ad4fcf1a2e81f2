"""Methods against other people's code: pytorch-metric-learning's miners and losses, and torch's own losses.

Where the labels of anchors and candidates are one tensor, that library takes it that anchor i is candidate i, and no
partner of its own: hence ``ids.clone()``.
"""

import math
from typing import Any

import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from pytorch_metric_learning.losses import NTXentLoss, TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner, DistanceWeightedMiner, TripletMarginMiner
from pytorch_metric_learning.reducers import SumReducer
from pytorch_metric_learning.utils import loss_and_miner_utils
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    margin_ranking_loss,
    normalize,
    triplet_margin_with_distance_loss,
)

from negbench import methods
from negbench.methods.base import Candidates, Direction, Method
from negbench.methods.distance_weighted import DistanceWeighted
from negbench.methods.semi_hard import SemiHard

ROWS = 24
UNIQUE = torch.arange(ROWS)
REPEATED = torch.arange(ROWS) % 9
IDS = pytest.mark.parametrize("ids", [UNIQUE, REPEATED], ids=["unique", "repeated"])
SEEDS = pytest.mark.parametrize("seed", range(4))


def pairs(seed: int, dim: int = 6, noise: float = 0.5) -> tuple[Tensor, Tensor]:
    """Images and texts ``[ROWS, dim]`` in float64 whose partners are near each other, but not always the nearest."""
    generator = torch.Generator().manual_seed(seed)

    def normal() -> Tensor:
        return torch.randn(ROWS, dim, generator=generator, dtype=torch.float64)

    shared = normal()
    return normalize(shared + noise * normal(), dim=1), normalize(shared + noise * normal(), dim=1)


def sides(image: Tensor, text: Tensor) -> list[tuple[Direction, Tensor, Tensor]]:
    """Direction, anchors, candidates."""
    return [("i2t", image, text), ("t2i", text, image)]


def made(name: str, **changes: Any) -> Method:
    return methods.get(name)(**changes).double()


def in_batch(ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each anchor with its own partner, and each with all of its negatives: what the batch's losses are made of."""
    own = torch.arange(len(ids))
    negative_anchors, negatives = (ids[:, None] != ids[None, :]).nonzero(as_tuple=True)
    return own, own, negative_anchors, negatives


def own_triplets(ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    _, _, anchors, negatives = in_batch(ids)
    return anchors, anchors, negatives


def p_value(counts: Tensor, weights: Tensor) -> float:
    """Of Pearson's chi-square test that ``counts`` are draws by ``weights``; cells of few expected draws as one."""
    counts, expected = counts.double(), weights.double() / weights.double().sum() * counts.sum()
    assert counts[expected == 0].sum() == 0
    large = expected >= 5
    counts, expected = (torch.cat([cells[large], cells[~large].sum()[None]]) for cells in (counts, expected))
    cells = expected > 0
    statistic = ((counts - expected).square() / expected)[cells].sum()
    freedom = statistic.new_tensor(float(cells.sum()) - 1)
    return float(torch.special.gammaincc(freedom / 2, statistic / 2))


@SEEDS
@IDS
def test_hardest_is_what_the_batch_hard_miner_finds(ids: Tensor, seed: int) -> None:
    image, text = pairs(seed)
    method = made("hardest")
    method.loss(image, text, ids)
    miner = BatchHardMiner(distance=CosineSimilarity())
    for direction, anchors, candidates in sides(image, text):
        rows, _, negatives = miner(anchors, ids, candidates, ids.clone())
        assert sorted(rows.tolist()) == list(range(ROWS))
        assert (method.chosen[direction][rows] == negatives).all()
        assert (ids[method.chosen[direction]] != ids).all()


@SEEDS
@IDS
def test_hardest_lies_in_the_miners_hard_set_or_that_is_empty(ids: Tensor, seed: int) -> None:
    image, text = pairs(seed)
    method = made("hardest")
    method.loss(image, text, ids)
    miner = TripletMarginMiner(margin=0.2, type_of_triplets="hard", distance=CosineSimilarity())
    for direction, anchors, candidates in sides(image, text):
        rows, partners, negatives = miner(anchors, ids, candidates, ids.clone())
        own = rows == partners
        for row in range(ROWS):
            hard = negatives[own & (rows == row)].tolist()
            assert not hard or int(method.chosen[direction][row]) in hard


@pytest.mark.parametrize("fallback", ["easiest", "hardest"])
@SEEDS
@IDS
def test_semi_hard_is_the_nearest_of_the_miners_set(ids: Tensor, seed: int, fallback: str) -> None:
    image, text = pairs(seed, noise=0.3 if seed % 2 else 0.6)
    method = made("semi-hard", fallback=fallback)
    assert isinstance(method, SemiHard)
    method.loss(image, text, ids)
    miner = TripletMarginMiner(margin=0.2, type_of_triplets="semihard", distance=CosineSimilarity())
    empty = 0
    for direction, anchors, candidates in sides(image, text):
        rows, partners, negatives = miner(anchors, ids, candidates, ids.clone())
        own = rows == partners
        similarity = anchors @ candidates.T
        for row in range(ROWS):
            band = negatives[own & (rows == row)]
            others = (ids != ids[row]).nonzero()[:, 0]
            if len(band):
                expected = band[similarity[row, band].argmax()]
            elif fallback == "hardest":
                expected = others[similarity[row, others].argmax()]
            else:
                expected = others[similarity[row, others].argmin()]
            empty += len(band) == 0
            assert method.chosen[direction][row] == expected
    assert 0 < empty < 2 * ROWS  # both kinds were seen
    assert method.fallbacks == empty
    assert method.report() == {"fallback": pytest.approx(empty / (2 * ROWS))}


def miner_weights(
    anchors: Tensor, candidates: Tensor, ids: Tensor, monkeypatch: pytest.MonkeyPatch, **changes: float
) -> Tensor:
    """``[B, N]``: the probabilities with which the miner draws."""
    seen: list[Tensor] = []
    plain = loss_and_miner_utils.get_random_triplet_indices

    def spy(labels: Tensor, ref_labels: Tensor, weights: Tensor) -> object:
        seen.append(weights)
        return plain(labels, ref_labels=ref_labels, weights=weights)

    with monkeypatch.context() as patch:
        patch.setattr(loss_and_miner_utils, "get_random_triplet_indices", spy)
        DistanceWeightedMiner(distance=LpDistance(normalize_embeddings=True), **changes)(
            anchors, ids, candidates, ids.clone()
        )
    return seen[0]


@pytest.mark.parametrize("nearest,cutoff", [(0.5, 1.4), (0.2, 1.7), (0.9, 1.2)])
@pytest.mark.parametrize("dim", [4, 6, 16])
@IDS
def test_distance_weighted_has_the_miners_distribution(
    ids: Tensor, dim: int, nearest: float, cutoff: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Theirs: ``cutoff`` clamps distances from below, candidates from ``nonzero_loss_cutoff`` on weigh nothing."""
    image, text = pairs(1, dim)
    method = made("distance-weighted", dimension=dim, nearest=nearest, cutoff=cutoff)
    assert isinstance(method, DistanceWeighted)
    for _, anchors, candidates in sides(image, text):
        expected = miner_weights(anchors, candidates, ids, monkeypatch, cutoff=nearest, nonzero_loss_cutoff=cutoff)
        similarity = (anchors @ candidates.T).masked_fill(ids[:, None] == ids[None, :], -torch.inf)
        weights = method.weights(similarity, dim)
        got = weights / weights.sum(dim=1, keepdim=True)
        # 0 / 0 in both where no negative is near enough
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12, equal_nan=True)
        assert (expected == 0).any()
        assert ((expected > 0).sum(dim=1) > 1).any()


@SEEDS
def test_distance_weighted_draws_follow_the_miners_distribution(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image, text = pairs(seed)
    expected = miner_weights(image, text, REPEATED, monkeypatch, cutoff=0.5, nonzero_loss_cutoff=1.4)
    method = made("distance-weighted", dimension=6, nearest=0.5, cutoff=1.4)
    assert isinstance(method, DistanceWeighted)
    draws, row = 20000, seed
    similarity = (image @ text.T)[row]
    candidates = Candidates.of(
        similarity.expand(draws, -1).clone(),
        similarity[row].expand(draws),
        REPEATED[row].expand(draws),
        REPEATED,
        torch.Generator().manual_seed(seed),
    )
    counts = torch.bincount(method.choose(candidates), minlength=ROWS)
    assert p_value(counts, expected[row]) > 1e-3


@SEEDS
@IDS
def test_hardest_loss_is_torchs_triplet_loss_of_the_mined_triplets(ids: Tensor, seed: int) -> None:
    image, text = pairs(seed)
    image.requires_grad_()
    text.requires_grad_()
    got = made("hardest").loss(image, text, ids)
    miner = BatchHardMiner(distance=CosineSimilarity())
    ranking, triplet = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for _, anchors, candidates in sides(image, text):
        rows, _, negatives = miner(anchors, ids, candidates, ids.clone())
        near, far = candidates[rows], candidates[negatives]
        own, other = (anchors[rows] * near).sum(dim=1), (anchors[rows] * far).sum(dim=1)
        ranking = ranking + margin_ranking_loss(own, other, torch.ones_like(own), margin=0.2)
        triplet = triplet + triplet_margin_with_distance_loss(
            anchors[rows], near, far, distance_function=lambda a, b: 1 - (a * b).sum(dim=1), margin=0.2
        )
    torch.testing.assert_close(got, ranking)
    torch.testing.assert_close(got, triplet)
    expected = torch.autograd.grad(ranking, [image, text])
    torch.testing.assert_close(torch.autograd.grad(got, [image, text]), expected)


@SEEDS
@IDS
def test_sum_and_mean_are_hinges_over_all_triplets(ids: Tensor, seed: int) -> None:
    image, text = pairs(seed)
    oracle = TripletMarginLoss(margin=0.2, distance=CosineSimilarity(), reducer=SumReducer())
    anchors, _, negatives = triplets = own_triplets(ids)
    summed, averaged = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for _, near, far in sides(image, text):
        summed = summed + oracle(near, ids, triplets, far, ids.clone()) / ROWS
        similarity = near @ far.T
        costs = margin_ranking_loss(
            similarity[anchors, anchors],
            similarity[anchors, negatives],
            torch.ones(len(anchors)),
            margin=0.2,
            reduction="none",
        )
        averaged = averaged + torch.stack([costs[anchors == row].mean() for row in range(ROWS)]).mean()
    torch.testing.assert_close(made("sum").loss(image, text, ids), summed)
    torch.testing.assert_close(made("mean").loss(image, text, ids), averaged)


@pytest.mark.parametrize("temperature", [0.02, 0.07, 1.0])
@SEEDS
def test_info_nce_is_cross_entropy_of_both_directions(seed: int, temperature: float) -> None:
    image, text = pairs(seed)
    logits = image @ text.T / temperature
    expected = (cross_entropy(logits, UNIQUE) + cross_entropy(logits.T, UNIQUE)) / 2
    got = made("info-nce", temperature=temperature).loss(image, text, UNIQUE)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9)


@SEEDS
@IDS
def test_info_nce_is_the_ntxent_loss_of_the_own_pairs(ids: Tensor, seed: int) -> None:
    """Other captions of the anchor's image are left out of the denominator there too."""
    image, text = pairs(seed)
    oracle = NTXentLoss(temperature=0.07)
    expected = sum(oracle(near, ids, in_batch(ids), far, ids.clone()) for _, near, far in sides(image, text)) / 2
    torch.testing.assert_close(
        made("info-nce", temperature=0.07).loss(image, text, ids), expected, rtol=1e-6, atol=1e-9
    )


@SEEDS
@IDS
def test_siglip_is_binary_cross_entropy(ids: Tensor, seed: int) -> None:
    image, text = pairs(seed)
    logits = 10 * image @ text.T - 10
    answers = (ids[:, None] == ids[None, :]).double()
    expected = binary_cross_entropy_with_logits(logits, answers, reduction="sum") / ROWS
    torch.testing.assert_close(made("siglip").loss(image, text, ids), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rows", [2, 3, 32])
def test_losses_of_equal_similarities_in_closed_form(rows: int) -> None:
    """All features the same: every similarity is 1."""
    feature = normalize(torch.ones(rows, 4, dtype=torch.float64), dim=1)
    ids = torch.arange(rows)
    expected = {
        "info-nce": math.log(rows),
        "multi-positive": math.log(rows),
        "hardest": 2 * 0.2,
        "mean": 2 * 0.2,
        "sum": 2 * 0.2 * (rows - 1),
        "siglip": rows * math.log(2),  # the logit is 10 - 10
    }
    for name, value in expected.items():
        assert made(name).loss(feature, feature, ids).item() == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("scale,bias", [(10.0, -10.0), (1.0, 0.0), (20.0, -5.0)])
def test_siglip_of_orthogonal_pairs_in_closed_form(scale: float, bias: float) -> None:
    """Partners the same, all others orthogonal: one yes at similarity 1, ``B - 1`` times no at 0."""
    feature, ids = torch.eye(7, dtype=torch.float64), torch.arange(7)
    expected = math.log1p(math.exp(-scale - bias)) + 6 * math.log1p(math.exp(bias))
    got = made("siglip", scale=scale, bias=bias).loss(feature, feature, ids)
    assert got.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_info_nce_of_orthogonal_pairs_in_closed_form(temperature: float) -> None:
    feature, ids = torch.eye(7, dtype=torch.float64), torch.arange(7)
    expected = math.log1p(6 * math.exp(-1 / temperature))
    got = made("info-nce", temperature=temperature).loss(feature, feature, ids)
    assert got.item() == pytest.approx(expected, rel=1e-6)
