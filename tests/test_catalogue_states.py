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
from negbench.methods.base import Direction, Extras, Listwise, View
from negbench.methods.crcl import CRCL
from negbench.methods.interface import per_anchor
from negbench.methods.interface.per_anchor import LARGEST, PerAnchor
from negbench.methods.isogclr import ISogCLR
from negbench.methods.sogclr import SogCLR
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
    return yes_or_no(s, labels) + 0.1 * 128 / len(s) * yes_or_no(s, pseudo)


def multi_similarity(i: int, s: list[float], view: View) -> float:
    pulled = sum(math.exp(-2 * (v - 0.5)) for v, own in zip(s, view.positive[i].tolist(), strict=True) if own)
    pushed = sum(math.exp((v - 0.5) / T) for v in negatives(s, view.positive[i].tolist()))
    return (math.log(1 + pulled) / 2 + T * math.log(1 + pushed)) / 2


def circle(i: int, s: list[float], view: View) -> float:
    positive = view.positive[i].tolist()
    pulled = sum(math.exp(-max(0.0, 1.4 - v) * (v - 0.6) / T) for v, own in zip(s, positive, strict=True) if own)
    pushed = sum(math.exp(max(0.0, v + 0.4) * (v - 0.4) / T) for v in negatives(s, positive))
    return math.log(1 + pulled * pushed) / 2


def shares(i: int, s: list[float], view: View) -> list[float]:
    """The softmax of the partner and the negatives; 0 for the other positives."""
    kept = [j == i or not own for j, own in enumerate(view.positive[i].tolist())]
    total = sum(math.exp(value / T) for value, stays in zip(s, kept, strict=True) if stays)
    return [math.exp(value / T) / total * stays for value, stays in zip(s, kept, strict=True)]


def active_complementary(i: int, p: list[float], y: float) -> float:
    wrong = sum(math.tan(value) for j, value in enumerate(p) if j != i)
    return (-y * math.log(p[i]) + 5 * wrong / math.pow(wrong + math.tan(p[i]), 1 - y)) / 2


def sogclr(i: int, s: list[float], view: View) -> float:
    """At the first visit."""
    e = [math.exp((value - s[i]) / T) for value in negatives(s, view.positive[i].tolist())]
    above = [value - s[i] for value in negatives(s, view.positive[i].tolist())]
    return mean([one / mean(e) * other for one, other in zip(e, above, strict=True)]) / 2


FORMULAS: dict[str, Callable[[int, list[float], View], float]] = {
    "crcl": lambda i, s, view: active_complementary(i, shares(i, s, view), 1.0),
    "sogclr": sogclr,
    "isogclr": sogclr,
    "multi-similarity": multi_similarity,
    "circle": circle,
    "cyclip": cyclip,
    "cusa": cusa,
    "pseudo-positives": pseudo_positives,
}
WEIGHTS_WITHOUT_GRADIENT = {"circle", "sogclr", "isogclr"}


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


# --- crcl


def visits(method: Listwise, view: View, count: int) -> list[float]:
    """The losses of so many visits of the same anchors, in epochs of one visit each."""
    losses = []
    for _ in range(count):
        method.start_epoch()
        losses.append(method.view_loss(view).item())
    return losses


@SEEDS
def test_crcl_follows_a_scalar_form_over_the_epochs(seed: int) -> None:
    """Labels stay for two epochs, start from the shares that pairs have in the second, and then take steps."""
    view, method = scene(seed), made("crcl")
    there, back = dots(view.anchors, view.candidates), dots(view.partners, view.counterparts)
    expected, labels = [], [1.0] * 5
    for epoch in range(1, 7):
        costs = []
        for i in range(5):
            p = shares(i, there[i], view)
            share = (p[i] + shares(i, back[i], view)[i]) / 2
            if epoch > 2:
                labels[i] = 0.8 * labels[i] + 0.2 * share
                labels[i] = labels[i] if labels[i] >= 0.1 else 0.0
            costs.append(active_complementary(i, p, labels[i]))
            labels[i] = share if epoch == 2 else labels[i]
        expected.append(mean(costs))
    assert visits(method, view, 6) == pytest.approx(expected, rel=1e-5)
    assert isinstance(method, CRCL)
    assert (1 - method.state[0, 7:12, 0]).tolist() == pytest.approx(labels, abs=1e-6)
    assert method.state[0, 7:12, 1].tolist() == [6.0] * 5
    assert method.report()["label"] == pytest.approx(mean(labels), abs=1e-6)


def test_crcl_takes_the_label_from_a_wrong_pair() -> None:
    """Whose partner is less similar than any other candidate; a right one keeps its own."""
    image = torch.eye(4)
    text = torch.where(torch.arange(4)[:, None] == 1, -image, image)
    view = View("i2t", image[:2], text, torch.arange(2), torch.eye(2, 4, dtype=torch.bool), image)
    view = replace(view, extras=Extras(torch.arange(2)))
    method = methods.get("crcl")(plain_epochs=0)
    assert isinstance(method, CRCL)
    labels = []
    for _ in range(15):
        method.start_epoch()
        method.view_loss(view)
        labels.append((1 - method.state[0, :2, 0]).tolist())
    right, wrong = (list(each) for each in zip(*labels, strict=True))
    assert wrong == sorted(wrong, reverse=True)
    assert wrong[0] > 0.7
    assert wrong[-1] == 0
    assert right[-1] > 0.9
    assert method.report()["label"] == pytest.approx(mean([right[-1], wrong[-1]]))


# --- sogclr and isogclr


def sequence(seed: int, count: int) -> list[View]:
    """The same anchors before other candidates at each visit; none is a positive but the partner."""
    found = []
    for number in range(count):
        view = scene(seed + 10 * number)
        found.append(replace(view, positive=torch.eye(5, 9, dtype=torch.bool), anchors=scene(seed).anchors))
    return found


@pytest.mark.parametrize("gamma", [0.3, 0.8, 1.0])
@SEEDS
def test_sogclr_follows_a_scalar_form_over_the_visits(seed: int, gamma: float) -> None:
    """Loss and gradient, ``w / count`` at each negative."""
    method, u = made("sogclr", gamma=gamma), [0.0] * 5
    assert isinstance(method, SogCLR)
    for number, view in enumerate(sequence(seed, 5)):
        s, costs, slopes = dots(view.anchors, view.candidates), [], torch.zeros(5, 9, dtype=torch.float64)
        for i in range(5):
            others = [j for j in range(9) if j != i]
            e = {j: math.exp((s[i][j] - s[i][i]) / T) for j in others}
            u[i] = mean(list(e.values())) if number == 0 else (1 - gamma) * u[i] + gamma * mean(list(e.values()))
            costs.append(mean([e[j] / u[i] * (s[i][j] - s[i][i]) for j in others]) / 2)
            for j in others:
                slopes[i, j] = e[j] / u[i] / 8 / 2 / 5
        leaf = torch.tensor(s, dtype=torch.float64).requires_grad_()
        loss = method.view_loss(replace(view, given=leaf))
        assert loss.item() == pytest.approx(mean(costs), rel=1e-5)
        torch.testing.assert_close(torch.autograd.grad(loss, leaf)[0], slopes, rtol=1e-5, atol=1e-9)
        assert method.state[0, 7:12, 0].exp().tolist() == pytest.approx(u, rel=1e-5)
        assert method.state[0, 7:12, 1].tolist() == [number + 1.0] * 5


def test_sogclr_without_memory_is_the_softmax_of_the_negatives() -> None:
    """Its gradient is that of T times the logarithm of their sum, against the partner."""
    method = made("sogclr", gamma=1.0)
    for view in sequence(0, 3):
        leaf = view.similarity.detach().requires_grad_()
        own = view.positive_similarity
        found = torch.autograd.grad(method.view_loss(replace(view, given=leaf)), leaf)[0]
        above = ((leaf - own[:, None]) / T).masked_fill(view.positive, -torch.inf)
        expected = torch.autograd.grad(T * above.logsumexp(dim=1).mean() / 2, leaf)[0]
        torch.testing.assert_close(found, expected)


def test_sogclr_of_anchors_never_seen_needs_no_state() -> None:
    view, method = scene(1), made("sogclr")
    plain = method.direction_loss(view.similarity, view.positive, view.positive_similarity)
    assert plain.item() == method.view_loss(view).item()
    assert plain.item() != method.view_loss(scene(2)).item()


@SEEDS
def test_isogclr_follows_a_scalar_form_over_the_visits(seed: int) -> None:
    method = made("isogclr", rate=0.2, lowest=0.04)
    assert isinstance(method, ISogCLR)
    u, slopes, taus = [0.0] * 5, [0.0] * 5, [0.1] * 5
    for number, view in enumerate(sequence(seed, 5)):
        s, costs = dots(view.anchors, view.candidates), []
        for i in range(5):
            above = [s[i][j] - s[i][i] for j in range(9) if j != i]
            e = [math.exp(value / taus[i]) for value in above]
            u[i] = mean(e) if number == 0 else 0.2 * u[i] + 0.8 * mean(e)
            costs.append(mean([one / u[i] * value for one, value in zip(e, above, strict=True)]) / 2)
            drawn = mean([one / u[i] * value / taus[i] for one, value in zip(e, above, strict=True)])
            slope = max(-5.0, min(5.0, math.log(u[i]) + 1.5 - drawn))
            slopes[i] = 0.5 * slopes[i] + 0.5 * slope
            taus[i] = max(0.04, min(1.0, taus[i] - 0.2 * slopes[i]))
        assert method.view_loss(view).item() == pytest.approx(mean(costs), rel=1e-5)
        assert method.state[0, 7:12, 3].tolist() == pytest.approx(taus, rel=1e-5)
    assert method.report()["temperature"] == pytest.approx(mean(taus), rel=1e-5)


def test_isogclr_gives_the_crowded_anchor_the_higher_temperature_within_bounds() -> None:
    """Of one hard negative among many the softmax is far from uniform; of many alike it is not."""
    similarity = torch.full((2, 64), 0.3)
    similarity[0, 2:] = -0.2
    similarity[0, :2] = similarity[1, 1] = 0.4
    anchors, positive = torch.eye(2), torch.eye(2, 64, dtype=torch.bool)
    view = View("i2t", anchors, similarity.T, torch.arange(2), positive, similarity.T)
    view = replace(view, extras=Extras(torch.arange(2)))
    method = methods.get("isogclr")(lowest=0.02, highest=0.5)
    assert isinstance(method, ISogCLR)
    assert method.report() == {"temperature": pytest.approx(0.1)}
    for _ in range(60):
        method.view_loss(view)
        assert ((method.state[0, :2, 3] >= 0.02 - 1e-7) & (method.state[0, :2, 3] <= 0.5)).all()
    sharp, flat = method.state[0, :2, 3].tolist()
    assert sharp > 0.1
    assert flat == pytest.approx(0.02)


# --- a state per anchor


KEEPS = [name for name in methods.names() if issubclass(methods.get(name), PerAnchor)]


def step(method: Any, first: int = 0, seed: int = 0) -> float:
    image, text = (normalize(torch.randn(6, 4, generator=stream(seed + k)), dim=1) for k in (0, 9))
    numbers = torch.arange(6) + first
    return float(method.loss(image, text, numbers, extras=Extras(captions=numbers)))


@pytest.mark.parametrize("name", KEEPS)
def test_a_state_grows_on_a_cpu_and_room_changes_no_number(name: str) -> None:
    small, large = methods.get(name)(), methods.get(name)()
    assert isinstance(small, PerAnchor)
    assert isinstance(large, PerAnchor)
    large.make_room(1000)
    assert large.state.shape == (2, 1000, small.width)
    order = [(0, 0), (3, 1), (500, 2), (0, 3), (500, 4)]
    assert [step(small, *each) for each in order] == [step(large, *each) for each in order]
    assert 506 <= small.state.shape[1] < 1000
    torch.testing.assert_close(small.state[:, :506], large.state[:, :506], rtol=0, atol=0)
    large.make_room(10)  # never less
    assert large.state.shape[1] == 1000


@pytest.mark.parametrize("name", KEEPS)
def test_a_state_of_any_room_is_loaded(name: str) -> None:
    trained, small, large = (methods.get(name)() for _ in range(3))
    step(trained)
    small.make_room(2)
    large.make_room(300)
    step(large, first=100)
    for other in (small, large):
        other.load_state_dict(trained.state_dict())
        assert step(other, seed=1) == step(trained, seed=1)
        trained.load_state_dict(methods.get(name)().state_dict())
        assert trained.state_dict()["state"].count_nonzero() == 0  # as new
        step(trained)
    assert large.state_dict()["state"][:, 100:].count_nonzero() == 0


@pytest.mark.parametrize("name", KEEPS)
def test_a_state_without_room_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = methods.get(name).__name__
    for first in (-3, LARGEST - 3):
        with pytest.raises(ValueError, match=rf"^{kind} keeps a state by the numbers of images and captions: {first} "):
            step(methods.get(name)(), first)
    monkeypatch.setattr(per_anchor, "can_be_looked_at", lambda values: False)
    with pytest.raises(
        ValueError, match=rf"^{kind} keeps a state per anchor: call make_room\(count\) before the first"
    ):
        step(methods.get(name)())
    made = methods.get(name)()
    made.make_room(6)
    assert math.isfinite(step(made))
