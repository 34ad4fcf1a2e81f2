"""More methods of the catalogue, those with a state per pair or anchor among them, against slow transcriptions."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from pytorch_metric_learning.losses import CircleLoss, MultiSimilarityLoss
from torch import Tensor
from torch.nn.functional import normalize

from negbench import methods
from negbench.methods.base import Direction, Listwise, View
from test_catalogue import T, case, dots, mean, negatives, scene, softmax, without

SEEDS = pytest.mark.parametrize("seed", range(5))


def made(name: str, **changes: Any) -> Listwise:
    """In float64."""
    method = methods.get(name)(**changes).double()
    assert isinstance(method, Listwise)
    return method


def squares(one: list[float], other: list[float]) -> float:
    return mean([(a - b) ** 2 for a, b in zip(one, other, strict=True)])


def cyclip(i: int, s: list[float], view: View) -> float:
    back = dots(view.partners, view.counterparts)[i]
    own, others = dots(view.anchors, view.counterparts)[i], dots(view.partners, view.candidates)[i]
    return without(i, s, view.positive[i].tolist(), T) + 32 * (squares(s, back) + squares(own, others)) / 2


def divergence(target: list[float], found: list[float]) -> float:
    return sum(t * math.log(t / f) for t, f in zip(target, found, strict=True))


def cusa(i: int, s: list[float], view: View) -> float:
    """The anchors are images."""
    target = softmax(dots(view.guide.image[:5], view.guide.image)[i])
    across, within = (
        divergence(target, softmax([value / 0.45 for value in row]))
        for row in (s, dots(view.anchors, view.counterparts)[i])
    )
    return without(i, s, view.positive[i].tolist(), T) + (0.1 * across + 0.5 * within) / 2


def yes_or_no(s: list[float], labels: list[bool]) -> float:
    terms = [(1 if own else -1) * (10 * value - 5) for value, own in zip(s, labels, strict=True)]
    return sum(-math.log(1 / (1 + math.exp(-term))) for term in terms) / 2


def pseudo_positives(i: int, s: list[float], view: View) -> float:
    labels = view.positive[i].tolist()
    pseudo = [own or value >= s[i] for value, own in zip(s, labels, strict=True)]
    return yes_or_no(s, labels) + 0.1 * yes_or_no(s, pseudo)


def multi_similarity(i: int, s: list[float], view: View) -> float:
    pulled = sum(math.exp(-2 * (v - 0.5)) for v, own in zip(s, view.positive[i].tolist(), strict=True) if own)
    pushed = sum(math.exp((v - 0.5) / T) for v in negatives(s, view.positive[i].tolist()))
    return (math.log(1 + pulled) / 2 + T * math.log(1 + pushed)) / 2


def circle(i: int, s: list[float], view: View) -> float:
    positive = view.positive[i].tolist()
    pulled = sum(math.exp(-max(0.0, 1.4 - v) * (v - 0.6) / T) for v, own in zip(s, positive, strict=True) if own)
    pushed = sum(math.exp(max(0.0, v + 0.4) * (v - 0.4) / T) for v in negatives(s, positive))
    return math.log(1 + pulled * pushed) / 2


FORMULAS: dict[str, Callable[[int, list[float], View], float]] = {
    "multi-similarity": multi_similarity,
    "circle": circle,
    "cyclip": cyclip,
    "cusa": cusa,
    "pseudo-positives": pseudo_positives,
}
WEIGHTS_WITHOUT_GRADIENT = {"circle"}


@pytest.mark.parametrize("name", FORMULAS)
@SEEDS
def test_loss_of_a_view_equals_the_scalar_form(name: str, seed: int) -> None:
    view = scene(seed)
    s = dots(view.anchors, view.candidates)
    expected = mean([FORMULAS[name](i, s[i], view) for i in range(len(s))])
    assert made(name).view_loss(view).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", sorted({*FORMULAS} - WEIGHTS_WITHOUT_GRADIENT))
def test_gradient_of_a_view_is_that_of_finite_differences(name: str) -> None:
    view = scene(3)
    assert torch.autograd.gradcheck(
        lambda anchors: made(name).view_loss(replace(view, anchors=anchors)), view.anchors.requires_grad_()
    )


# --- multi-similarity and circle, against pytorch-metric-learning


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("scale", [10, 50])
@SEEDS
def test_multi_similarity_is_that_of_pytorch_metric_learning(seed: int, scale: float, repeated: bool) -> None:
    one, other = (normalize(torch.randn(12, 6, dtype=torch.float64, generator=stream(seed)), dim=1) for _ in range(2))
    ids = torch.arange(12) % 5 if repeated else torch.arange(12)
    oracle = MultiSimilarityLoss(alpha=2, beta=scale, base=0.5)
    one.requires_grad_()
    expected = oracle(one, ids, ref_emb=other, ref_labels=ids.clone())
    expected = (expected + oracle(other, ids, ref_emb=one, ref_labels=ids.clone())) / 2
    check_same(made("multi-similarity", temperature=1 / scale).loss(one, other, ids), expected, one)


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize(("scale", "margin"), [(10, 0.4), (80, 0.4), (256, 0.25)])
@SEEDS
def test_circle_is_that_of_pytorch_metric_learning(seed: int, scale: float, margin: float, repeated: bool) -> None:
    """Their mean leaves out anchors that pay nothing: here none does."""
    one, other = (normalize(torch.randn(12, 6, dtype=torch.float64, generator=stream(seed)), dim=1) for _ in range(2))
    ids = torch.arange(12) % 5 if repeated else torch.arange(12)
    oracle = CircleLoss(m=margin, gamma=scale)
    one.requires_grad_()
    expected = oracle(one, ids, ref_emb=other, ref_labels=ids.clone())
    expected = (expected + oracle(other, ids, ref_emb=one, ref_labels=ids.clone())) / 2
    check_same(made("circle", temperature=1 / scale, margin=margin).loss(one, other, ids), expected, one)


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def check_same(found: Tensor, expected: Tensor, leaf: Tensor) -> None:
    """In value, and in gradient along the sphere: some normalise the features once more."""
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(loss, leaf)[0] for loss in (found, expected)]
    along = [slope - (slope * leaf).sum(dim=1, keepdim=True) * leaf for slope in slopes]
    torch.testing.assert_close(*along)


def test_circle_has_nothing_to_push_without_negatives_and_multi_similarity_pulls() -> None:
    similarity, positive = torch.tensor([[0.2, 0.9]]).requires_grad_(), torch.ones(1, 2, dtype=torch.bool)
    own = similarity[:, 0]
    for name, pays in (("circle", False), ("multi-similarity", True)):
        method = methods.get(name)()
        assert isinstance(method, Listwise)
        loss = method.direction_loss(similarity, positive, own)
        slopes = torch.autograd.grad(loss, similarity)[0]
        assert slopes.isfinite().all()
        assert (loss.item() > 0) == pays
        assert (slopes < 0).all() if pays else (slopes == 0).all()


def test_circle_weighs_what_is_far_from_its_place_more() -> None:
    similarity, positive = torch.tensor([[0.5, 0.6, 0.1, -0.9]]), torch.tensor([[True, False, False, False]])
    leaf = similarity.requires_grad_()
    loss = made("circle").float()
    assert isinstance(loss, Listwise)
    slopes = torch.autograd.grad(loss.direction_loss(leaf, positive, leaf[:, 0]), leaf)[0][0]
    assert slopes[0] < 0
    assert slopes[1] > slopes[2] > 0
    assert slopes[3] == 0  # below -margin a negative is where it should be


# --- cyclip


@SEEDS
def test_cyclip_with_both_weights_0_is_info_nce(seed: int) -> None:
    view = scene(seed)
    assert made("cyclip", across=0.0, within=0.0).view_loss(view).item() == made("info-nce").view_loss(view).item()


@SEEDS
def test_cyclip_is_the_loss_of_the_whole_matrices(seed: int) -> None:
    """The authors' code, whose weights times the batch of 7 are what ours are times 128."""
    image, text = (normalize(torch.randn(7, 4, dtype=torch.float64, generator=stream(seed + k)), dim=1) for k in (0, 9))
    image.requires_grad_()
    logits = image @ text.T
    within = (image @ image.T - text @ text.T).square().mean() * 7
    across = (logits - logits.T).square().mean() * 7
    plain = methods.get("info-nce")().double().loss(image, text, torch.arange(7))
    weight = 0.25 * 7
    found = methods.get("cyclip")(across=weight, within=weight).double().loss(image, text, torch.arange(7))
    check_same(found, plain + 0.25 * within + 0.25 * across, image)


def test_cyclip_has_nothing_to_correct_where_both_modalities_are_one() -> None:
    image = normalize(torch.randn(6, 4, generator=stream(0)), dim=1)
    plain, method = methods.get("info-nce")(), methods.get("cyclip")()
    ids = torch.arange(6)
    assert method.loss(image, image, ids).item() == pytest.approx(plain.loss(image, image, ids).item(), abs=1e-6)


# --- cusa


def test_cusa_with_both_weights_0_is_info_nce() -> None:
    view = scene(2)
    assert made("cusa", across=0.0, within=0.0).view_loss(view).item() == made("info-nce").view_loss(view).item()


def test_cusa_follows_the_guide_of_the_anchors_own_modality() -> None:
    view = scene(1)
    sides: dict[Direction, Tensor] = {"i2t": view.guide.image, "t2i": view.guide.text}
    for direction, features in sides.items():
        found = made("cusa").suspicion(replace(view, direction=direction))
        assert found is not None
        torch.testing.assert_close(found, (features[:5] @ features.T).softmax(dim=1))


# --- pseudo-positives


def test_pseudo_positives_are_what_is_as_similar_as_the_partner() -> None:
    method = made("pseudo-positives")
    view = replace(scene(0), given=torch.tensor([[0.5, 0.6, 0.5, 0.4, 0.1, 0.0, 0.0, 0.0, 0.0]] * 5))
    found = method.suspicion(view)
    assert found is not None
    assert found[0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0]


def test_pseudo_positives_without_weight_is_siglip() -> None:
    similarity, positive = case(1)
    one, other = made("pseudo-positives", alpha=0.0), made("siglip", bias=-5.0)
    losses = [each.direction_loss(similarity, positive, similarity.diagonal()).item() for each in (one, other)]
    assert losses[0] == losses[1]


def test_pseudo_positives_are_pushed_less() -> None:
    leaf, positive = torch.tensor([[0.5, 0.6, 0.4]]).requires_grad_(), torch.tensor([[True, False, False]])
    slopes = {}
    for alpha in (0.0, 0.5):
        method = methods.get("pseudo-positives")(alpha=alpha)
        assert isinstance(method, Listwise)
        slopes[alpha] = torch.autograd.grad(method.direction_loss(leaf, positive, leaf[:, 0]), leaf)[0][0]
    assert slopes[0.5][1] < slopes[0.0][1]
    assert slopes[0.5][2] > slopes[0.0][2] > 0
