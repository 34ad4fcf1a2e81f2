"""The methods of the catalogue against slow transcriptions of their formulas."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import methods
from methods.base import Candidates, Listwise, Sampler
from methods.distance_weighted import DistanceWeighted

Rows = list[list[float]]
Mask = list[list[bool]]


def case(seed: int = 0, rows: int = 5, columns: int = 9) -> tuple[Tensor, Tensor]:
    """Similarities ``[B, N]`` in float64 and a mask of positives; some anchors share an id."""
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.rand(rows, columns, generator=generator, dtype=torch.float64) * 2 - 1
    ids = torch.tensor([0, 1, 1, 2, 3, 0, 4, 5, 2])
    return similarity, ids[:rows, None] == ids[None, :columns]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def negatives(s: list[float], positive: list[bool]) -> list[float]:
    return [value for value, own in zip(s, positive, strict=True) if not own]


def hinges(i: int, s: Rows, p: Mask) -> list[float]:
    return [max(0.0, 0.2 + value - s[i][i]) for value in negatives(s[i], p[i])]


def selhn(i: int, s: Rows, p: Mask) -> float:
    if abs(s[i][i] - max(negatives(s[i], p[i]))) < 0.01:
        return mean(hinges(i, s, p))
    return max(hinges(i, s, p))


def info_nce(i: int, s: Rows, p: Mask) -> float:
    own = math.exp(s[i][i] / 0.07)
    return -math.log(own / (own + sum(math.exp(value / 0.07) for value in negatives(s[i], p[i])))) / 2


def multi_positive(i: int, s: Rows, p: Mask) -> float:
    total = sum(math.exp(value / 0.07) for value in s[i])
    shares = [-math.log(math.exp(value / 0.07) / total) for value, own in zip(s[i], p[i], strict=True) if own]
    return mean(shares) / 2


def siglip(i: int, s: Rows, p: Mask) -> float:
    terms = [(1 if own else -1) * (10 * value - 10) for value, own in zip(s[i], p[i], strict=True)]
    return sum(-math.log(1 / (1 + math.exp(-term))) for term in terms) / 2


def debiased(i: int, s: Rows, p: Mask, beta: float = 0) -> float:
    others, own = negatives(s[i], p[i]), math.exp(s[i][i] / 0.5)
    weights = [math.exp(beta * value / 0.5) for value in others]
    pushed = sum(w * math.exp(value / 0.5) for w, value in zip(weights, others, strict=True)) / mean(weights)
    g = max((pushed - 0.1 * len(others) * own) / 0.9, len(others) * math.exp(-1 / 0.5))
    return -math.log(own / (own + g)) / 2


FORMULAS: dict[str, Callable[[int, Rows, Mask], float]] = {
    "mean": lambda i, s, p: mean(hinges(i, s, p)),
    "sum": lambda i, s, p: sum(hinges(i, s, p)),
    "selhn": selhn,
    "info-nce": info_nce,
    "multi-positive": multi_positive,
    "siglip": siglip,
    "debiased": debiased,
    "hcl": lambda i, s, p: debiased(i, s, p, beta=1),
}


def test_every_listwise_method_has_its_formula_here() -> None:
    assert {name for name in methods.names() if issubclass(methods.get(name), Listwise)} == set(FORMULAS)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("seed", range(5))
def test_loss_equals_the_scalar_form(name: str, seed: int) -> None:
    method = methods.get(name)().double()
    assert isinstance(method, Listwise)
    similarity, positive = case(seed)
    if name == "selhn" and seed == 0:
        similarity[1, 4] = similarity[1, 1] + 0.005  # an anchor on the verge
        similarity[1, 5:] = -0.5
    rows, mask = similarity.tolist(), positive.tolist()
    expected = mean([FORMULAS[name](i, rows, mask) for i in range(len(rows))])
    assert method.direction_loss(similarity, positive).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    method = methods.get(name)().double()
    assert isinstance(method, Listwise)
    similarity, positive = case(3)
    assert torch.autograd.gradcheck(lambda s: method.direction_loss(s, positive), similarity.requires_grad_())


def test_info_nce_is_cross_entropy_where_no_image_repeats() -> None:
    method = methods.get("info-nce")().double()
    assert isinstance(method, Listwise)
    similarity, _ = case(columns=5)
    positive = torch.eye(5, dtype=torch.bool)
    expected = torch.nn.functional.cross_entropy(similarity / 0.07, torch.arange(5)) / 2
    torch.testing.assert_close(method.direction_loss(similarity, positive), expected, rtol=1e-6, atol=0)
    multi = methods.get("multi-positive")().double()
    assert isinstance(multi, Listwise)
    torch.testing.assert_close(multi.direction_loss(similarity, positive), expected, rtol=1e-6, atol=0)


def test_temperature_is_learnt_unless_told_otherwise() -> None:
    assert [weight.requires_grad for weight in methods.get("info-nce")().parameters()] == [True]
    assert [weight.requires_grad for weight in methods.get("info-nce")(learn=False).parameters()] == [False]
    assert methods.get("info-nce")(temperature=0.01).report()["temperature"] == pytest.approx(0.01)


def test_sct_pushes_too_hard_negatives_only_away() -> None:
    method = methods.get("sct")()
    assert isinstance(method, Sampler)
    positive, negative = torch.tensor([0.5, 0.9, 0.5]), torch.tensor([0.6, 0.85, 0.3])
    pair = -math.log(math.exp(5.0) / (math.exp(5.0) + math.exp(3.0)))
    assert method.pair_loss(positive, negative).tolist() == pytest.approx([0.6, 0.85, pair], rel=1e-6)


def chi_square(name: str, weights: Tensor, similarity: Tensor, **changes: object) -> float:
    """Of 20,000 draws for one anchor whose positive is column 0, against ``weights [N]``; 0 weight means never."""
    method = methods.get(name)(**changes)
    assert isinstance(method, Sampler)
    draws = 20000
    seen = Candidates.of(
        similarity.expand(draws, -1).clone(),
        torch.full((draws,), float(similarity[0])),
        torch.zeros(draws, dtype=torch.int64),
        torch.arange(len(similarity)),
        torch.Generator().manual_seed(0),
    )
    counts = torch.bincount(method.choose(seen), minlength=len(similarity)).double()
    assert counts[weights == 0].sum() == 0
    expected = weights.double() / weights.double().sum() * draws
    kept = weights > 0
    return float(((counts - expected)[kept].square() / expected[kept]).sum())


SIMILARITY = torch.tensor([0.7, 0.6, 0.5, 0.4, 0.3, 0.2, -0.9])


def test_softmax_sampled_follows_the_softmax() -> None:
    weights = (SIMILARITY / 0.2).softmax(dim=0)
    weights[0] = 0
    assert chi_square("softmax-sampled", weights, SIMILARITY, temperature=0.2) < 22.46  # 0.999 quantile, 6 degrees - 1


def test_top_k_is_uniform_over_the_k_hardest() -> None:
    weights = torch.tensor([0.0, 1, 1, 1, 0, 0, 0])
    assert chi_square("top-k", weights, SIMILARITY, k=3) < 13.82  # 2 degrees of freedom


def test_distance_weighted_follows_its_density() -> None:
    weights = []
    for s in SIMILARITY.tolist():
        d = max(math.sqrt(2 - 2 * s), 0.5)
        density = d ** (16 - 2) * (1 - d * d / 4) ** ((16 - 3) / 2)
        weights.append(1 / density if d < 1.7 else 0.0)
    weights[0] = 0.0
    expected = torch.tensor(weights)
    assert expected[-1] == 0
    assert chi_square("distance-weighted", expected, SIMILARITY, dimension=16) < 18.47  # 4 degrees of freedom
    got = DistanceWeighted(dimension=16).weights(SIMILARITY[None, 1:])[0]
    torch.testing.assert_close(got, expected[1:] / expected.max())


def test_distance_weighted_takes_the_hardest_where_all_are_far() -> None:
    method = methods.get("distance-weighted")(cutoff=0.5)
    assert isinstance(method, Sampler)
    seen = Candidates.of(SIMILARITY[None].clone(), torch.tensor([0.7]), torch.tensor([0]), torch.arange(7))
    assert method.choose(seen).tolist() == [1]


def test_positive_aware_skips_what_is_too_near_the_positive() -> None:
    method = methods.get("positive-aware")(distance=0.15)
    assert isinstance(method, Sampler)
    seen = Candidates.of(SIMILARITY[None].clone(), torch.tensor([0.7]), torch.tensor([0]), torch.arange(7))
    assert method.choose(seen).tolist() == [2]  # 0.6 lies above 0.7 - 0.15
    seen = Candidates.of(SIMILARITY[None].clone(), torch.tensor([-0.95]), torch.tensor([0]), torch.arange(7))
    assert method.choose(seen).tolist() == [6]  # none below: the least similar
