"""The losses of image-text matching and its neighbours against slow transcriptions, libraries and each other.

A formula takes an anchor, its similarities, what are its positives, and the method's settings under their own names.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import GeneralizedLiftedStructureLoss, MultiSimilarityLoss, NTXentLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor
from torch.nn.functional import kl_div, normalize

from negbench import methods
from negbench.methods.base import Extras, Guide, Listwise, Memory, Sampler, View
from negbench.methods.bcl import BCL
from negbench.methods.decoupled import Decoupled
from test_catalogue import Mask, Rows, case, dots, info_nce, mean, negatives, scene, softmax, supported
from test_oracles import IDS, SEEDS, in_batch, made, pairs, sides

Formula = Callable[..., float]


def tal(i: int, s: Rows, p: Mask, margin: float = 0.2, temperature: float = 0.1) -> float:
    own = [value for value, positive in zip(s[i], p[i], strict=True) if positive]
    pulled = sum(a * b for a, b in zip(softmax([value / temperature for value in own]), own, strict=True))
    pushed = temperature * math.log(sum(math.exp(value / temperature) for value in negatives(s[i], p[i])))
    return max(0.0, margin - pulled + pushed)


def hn_nce(i: int, s: Rows, p: Mask, alpha: float = 1, beta: float = 1, temperature: float = 0.1) -> float:
    others, own = negatives(s[i], p[i]), math.exp(s[i][i] / temperature)
    total = sum(math.exp(beta * value / temperature) for value in others)
    weights = [len(others) * math.exp(beta * value / temperature) / total for value in others]
    pushed = sum(w * math.exp(value / temperature) for w, value in zip(weights, others, strict=True))
    return -math.log(own / (alpha * own + pushed)) / 2


def omega(value: float, others: list[float], prior: float = 0.1, alpha: float = 0.8, beta: float = 1) -> float:
    """As the authors have it, without what they add to the denominators."""
    u = mean([float(other <= value) for other in others])
    a = (1 - 2 * alpha) * (1 - prior - prior)
    b = 2 * (alpha * (1 - prior) + (1 - alpha) * prior)
    below = (-b + math.sqrt(b**2 + 4 * a * u)) / (2 * a) if a else u / b
    small, large = 2 * (1 - below), 2 * below
    true, false = alpha * small + (1 - alpha) * large, (1 - alpha) * small + alpha * large
    hard = alpha * (1 - beta) * small + (1 - alpha) * beta * large
    return hard / (alpha * (1 - beta) + (1 - alpha) * beta) / (true * (1 - prior) + false * prior)


def bcl(i: int, s: Rows, p: Mask, temperature: float = 0.1, **settings: float) -> float:
    others, own = negatives(s[i], p[i]), math.exp(s[i][i] / temperature)
    pushed = sum(omega(value, others, **settings) * math.exp(value / temperature) for value in others)
    return -math.log(own / (own + pushed)) / 2


def unime(i: int, s: Rows, p: Mask, distance: float = 0.1, k: int = 8, temperature: float = 0.1) -> float:
    kept = sorted((value for value in negatives(s[i], p[i]) if value <= s[i][i] + distance), reverse=True)[:k]
    return -math.log(softmax([value / temperature for value in [s[i][i], *kept]])[0]) / 2


def rince(i: int, s: Rows, p: Mask, q: float = 0.1, weight: float = 0.01, temperature: float = 0.1) -> float:
    own = math.exp(s[i][i] / temperature)
    pushed = sum(math.exp(value / temperature) for value in negatives(s[i], p[i]))
    return (float((weight * (own + pushed)) ** q) - float(own**q)) / q / 2


def sdm(i: int, s: Rows, p: Mask, temperature: float = 0.1) -> float:
    shares, labels = softmax([value / temperature for value in s[i]]), [own / sum(p[i]) for own in p[i]]
    return sum(a * (math.log(a) - math.log(b + 1e-8)) for a, b in zip(shares, labels, strict=True)) / 2


def decoupled(i: int, s: Rows, p: Mask, weighted: bool = False, sigma: float = 0.5, temperature: float = 0.1) -> float:
    pushed = math.log(sum(math.exp(value / temperature) for value in negatives(s[i], p[i])))
    batch = mean([math.exp(s[k][k] / sigma) for k in range(len(s))])
    weight = 2 - math.exp(s[i][i] / sigma) / batch if weighted else 1
    return (pushed - weight * s[i][i] / temperature) / 2


def hal(i: int, s: Rows, p: Mask, threshold: float = 0.3, scale: float = 30) -> float:
    total = sum(math.exp(scale * (value - threshold)) for value in negatives(s[i], p[i]))
    return math.log(1 + total) / scale - math.log(1 + max(0.0, s[i][i])) / 2


def gamma_margin(i: int, s: Rows, view: View, gamma: float = 0.5, modality: str = "text") -> float:
    texts, images = view.candidates, view.counterparts
    if view.direction == "t2i":
        texts, images = images, texts
    features = texts if modality == "text" else images
    alike, positive = dots(features, features)[i], view.positive.tolist()
    moved = [value + (0 if j == i else gamma * alike[j]) for j, value in enumerate(s[i])]
    return info_nce(i, [moved] * (i + 1), positive)


def language_guidance(i: int, s: Rows, view: View, margin: float = 0.2, threshold: float = 0.18) -> float:
    alike, positive = supported(i, view), view.positive.tolist()
    slope = margin / (1 - threshold)
    moved = [
        value + (0 if j == i else slope * (1 - alike[j]) if alike[j] >= threshold else margin)
        for j, value in enumerate(s[i])
    ]
    return info_nce(i, [moved] * (i + 1), positive)


FORMULAS: dict[str, Formula] = {
    "tal": tal,
    "hn-nce": hn_nce,
    "bcl": bcl,
    "unime": unime,
    "rince": rince,
    "sdm": sdm,
    "decoupled": decoupled,
    "hal": hal,
}
VIEW_FORMULAS: dict[str, Formula] = {"gamma-margin": gamma_margin, "language-guidance": language_guidance}
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "tal": [{"margin": 0.1, "temperature": 0.02}],
    "hn-nce": [{"alpha": 0.0, "beta": 0.5}, {"alpha": 0.3, "temperature": 0.05}],
    "bcl": [{"alpha": 0.5}, {"alpha": 0.9, "beta": 0.7, "prior": 0.2}, {"beta": 0.5, "temperature": 0.5}],
    "unime": [{"k": 2}, {"distance": -0.2, "temperature": 0.02}],
    "rince": [{"q": 1.0, "weight": 0.025}, {"q": 0.5, "temperature": 0.07}],
    "sdm": [{"temperature": 0.02}],
    "decoupled": [{"weighted": True}, {"weighted": True, "sigma": 0.2, "temperature": 0.5}],
    "hal": [{"threshold": 0.7, "scale": 60.0}],
    "gamma-margin": [{"gamma": -0.7}, {"gamma": 1.5, "modality": "image"}],
    "language-guidance": [{"threshold": 0.7}, {"threshold": -1.0, "margin": 0.4}],
}
CASES = [(name, settings) for name, more in SETTINGS.items() for settings in ({}, *more)]
NAMES = [*FORMULAS, *VIEW_FORMULAS, "polyloss"]


def listwise(name: str, **settings: Any) -> Listwise:
    method = made(name, **settings)
    assert isinstance(method, Listwise)
    return method


def costs(name: str, settings: dict[str, Any], similarity: Tensor, positive: Tensor) -> Tensor:
    method = listwise(name, **settings)
    if isinstance(method, Decoupled):
        method.level.copy_(method.closeness(similarity.detach().diagonal()).mean())
    return method.direction_loss(similarity, positive, similarity.diagonal())


@pytest.mark.parametrize(("name", "settings"), [each for each in CASES if each[0] in FORMULAS], ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_loss_equals_the_scalar_form(name: str, settings: dict[str, Any], seed: int) -> None:
    similarity, positive = case(seed)
    rows, mask = similarity.tolist(), positive.tolist()
    expected = mean([FORMULAS[name](i, rows, mask, **settings) for i in range(len(rows))])
    assert costs(name, settings, similarity, positive).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("name", "settings"), [each for each in CASES if each[0] in VIEW_FORMULAS], ids=str)
@pytest.mark.parametrize("direction", ["i2t", "t2i"])
@pytest.mark.parametrize("seed", range(5))
def test_loss_of_a_view_equals_the_scalar_form(name: str, settings: dict[str, Any], direction: Any, seed: int) -> None:
    view = replace(scene(seed), direction=direction)
    s = dots(view.anchors, view.candidates)
    expected = mean([VIEW_FORMULAS[name](i, s, view, **settings) for i in range(len(s))])
    assert listwise(name, **settings).view_loss(view).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "settings"),
    [each for each in CASES if each[0] in FORMULAS and "weighted" not in each[1]],  # whose weights are held
    ids=str,
)
def test_gradient_is_that_of_finite_differences(name: str, settings: dict[str, Any]) -> None:
    similarity, positive = case(3)
    if name == "tal":  # of several positives the shares are held
        positive = torch.eye(*positive.shape, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda s: costs(name, settings, s, positive), similarity.requires_grad_())


@pytest.mark.parametrize("name", VIEW_FORMULAS)
def test_gradient_of_a_view_is_that_of_finite_differences(name: str) -> None:
    view = scene(3)
    assert torch.autograd.gradcheck(
        lambda anchors: listwise(name).view_loss(replace(view, anchors=anchors)), view.anchors.requires_grad_()
    )


@pytest.mark.parametrize(
    ("name", "settings"), [*((name, {}) for name in NAMES), *(each for each in CASES if each[1])], ids=str
)
@pytest.mark.parametrize("memory", [False, True])
def test_an_anchor_without_negatives_pays_nothing(name: str, settings: dict[str, Any], memory: bool) -> None:
    image, text = (side.float().requires_grad_() for side in pairs(0))
    ids = torch.zeros(len(image), dtype=torch.int64)
    pool = Memory(image.detach(), text.detach(), ids) if memory else None
    features = normalize(torch.ones(len(image), 3), dim=1)
    more = Extras(guide=Guide(features, features, features[:, None]))
    loss = methods.get(name)(**settings).loss(image, text, ids, pool, extras=more)
    torch.autograd.backward(loss)
    assert loss.item() == 0
    for side in (image, text):
        assert side.grad is not None
        assert (side.grad == 0).all()


EQUAL: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("hn-nce", {"beta": 0.0}, "info-nce", {}),
    ("hn-nce", {"beta": 0.0, "alpha": 0.0}, "decoupled", {}),
    ("hn-nce", {"beta": 2.0}, "hcl", {"beta": 2.0, "prior": 0.0}),
    ("bcl", {"alpha": 0.5, "beta": 0.5}, "info-nce", {}),
    ("bcl", {"prior": 0.0, "beta": 0.5, "alpha": 0.9}, "info-nce", {}),
    ("gamma-margin", {"gamma": 0.0}, "info-nce", {}),
    ("unime", {"k": 1000, "distance": 2.0, "temperature": 0.3}, "info-nce", {"temperature": 0.3}),
    ("language-guidance", {"margin": 0.0}, "info-nce", {}),
]


@SEEDS
@IDS
@pytest.mark.parametrize(("name", "settings", "other", "its"), EQUAL, ids=str)
def test_is_another_loss_at_its_end(
    name: str, settings: dict[str, Any], other: str, its: dict[str, Any], ids: Tensor, seed: int
) -> None:
    image, text = (side.requires_grad_() for side in pairs(seed))
    guide = Guide(image.detach(), text.detach(), text.detach()[:, None])
    got = made(name, **settings).loss(image, text, ids, extras=Extras(guide=guide))
    expected = made(other, **its).loss(image, text, ids)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9)
    gradients = (torch.autograd.grad(loss, [image, text]) for loss in (got, expected))
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-8)


@SEEDS
@IDS
def test_tal_is_near_the_hardest_triplet_at_a_low_temperature(ids: Tensor, seed: int) -> None:
    """The smooth maximum is above the largest by at most ``T log N``; positives of one image have one feature here."""
    image, text = pairs(seed)
    first = (ids[:, None] == ids[None, :]).int().argmax(dim=1)
    image, text = image[first], text[first]
    hardest = made("hardest").loss(image, text, ids)
    for temperature in (0.1, 0.005):
        excess = (made("tal", temperature=temperature).loss(image, text, ids) - hardest).item()
        assert 0 <= excess <= 2 * temperature * math.log(len(ids))


@SEEDS
def test_tal_at_temperature_1_is_the_generalized_lifted_structure_loss(seed: int) -> None:
    image, text = pairs(seed)
    ids = torch.arange(len(image))
    oracle = GeneralizedLiftedStructureLoss(
        pos_margin=0.3, neg_margin=0, distance=CosineSimilarity(), reducer=MeanReducer()
    )
    expected = sum(oracle(near, ids, ref_emb=far, ref_labels=ids.clone()) for _, near, far in sides(image, text))
    torch.testing.assert_close(made("tal", margin=0.3, temperature=1.0).loss(image, text, ids), expected)


@SEEDS
@IDS
def test_hal_is_the_negative_half_of_the_multi_similarity_loss(ids: Tensor, seed: int) -> None:
    image, text = pairs(seed)
    oracle = MultiSimilarityLoss(alpha=1, beta=30, base=0.3, reducer=MeanReducer())
    none = torch.empty(0, dtype=torch.int64)
    expected = -torch.relu((image * text).sum(dim=1)).log1p().mean()
    for _, near, far in sides(image, text):
        expected = expected + oracle(near, ids, (none, none, *in_batch(ids)[2:]), far, ids.clone())
    torch.testing.assert_close(made("hal").loss(image, text, ids), expected, rtol=1e-6, atol=1e-9)


@SEEDS
@IDS
@pytest.mark.parametrize("k", [1, 3])
def test_unime_is_the_ntxent_loss_of_the_pairs_it_keeps(ids: Tensor, seed: int, k: int) -> None:
    image, text = pairs(seed)
    oracle = NTXentLoss(temperature=0.1)
    expected = torch.zeros((), dtype=torch.float64)
    for _, near, far in sides(image, text):
        s = near @ far.T
        allowed = torch.where((ids[:, None] == ids[None, :]) | (s > s.diagonal()[:, None] + 0.1), -torch.inf, s)
        kept, index = allowed.topk(k, dim=1)
        rows = torch.arange(len(ids))[:, None].expand_as(index)[kept > -torch.inf]
        own = in_batch(ids)[:2]
        expected = expected + oracle(near, ids, (*own, rows, index[kept > -torch.inf]), far, ids.clone()) / 2
    torch.testing.assert_close(made("unime", k=k).loss(image, text, ids), expected, rtol=1e-6, atol=1e-9)


def test_unime_pays_nothing_where_all_are_above_the_cap() -> None:
    similarity = torch.tensor([[0.2, 0.5, 0.31]], dtype=torch.float64)
    positive = torch.tensor([[True, False, False]])
    method = listwise("unime")
    assert method.direction_loss(similarity, positive, similarity[:, 0]).item() == 0
    similarity[0, 2] = 0.3
    assert method.direction_loss(similarity, positive, similarity[:, 0]).item() > 0


@SEEDS
def test_rince_is_info_nce_where_q_is_near_0(seed: int) -> None:
    image, text = (side.requires_grad_() for side in pairs(seed))
    ids = torch.arange(len(image))
    got, plain = made("rince", q=0.001, weight=0.1).loss(image, text, ids), made("info-nce").loss(image, text, ids)
    assert got.item() == pytest.approx(plain.item() + math.log(0.1), rel=0.02)
    one, other = (normalize(torch.autograd.grad(loss, image)[0].flatten(), dim=0) for loss in (got, plain))
    assert one @ other > 0.999


def test_rince_pulls_unlike_pairs_less_than_info_nce_does() -> None:
    """By the gradient at the positive, of an unlike pair over that of an alike one."""
    similarity = torch.tensor([[-0.5, 0.0, 0.1], [0.0, 0.4, 0.1]], dtype=torch.float64, requires_grad=True)
    positive = torch.tensor([[True, False, False], [False, True, False]])
    ratio = {}
    for name, q in (("info-nce", None), ("rince", 0.1), ("rince", 0.5)):
        method = listwise(name, **({} if q is None else {"q": q}))
        loss = method.direction_loss(similarity, positive, similarity.diagonal())
        unlike, alike = torch.autograd.grad(loss, similarity)[0].diagonal().tolist()
        ratio[q] = unlike / alike
    assert ratio[None] > ratio[0.1] > ratio[0.5] > 0


@SEEDS
@IDS
def test_sdm_is_the_divergence_of_the_softmax_from_the_labels(ids: Tensor, seed: int) -> None:
    image, text = pairs(seed)
    labels = (ids[:, None] == ids[None, :]).double()
    labels = labels / labels.sum(dim=1, keepdim=True)
    expected = torch.zeros((), dtype=torch.float64)
    for _, near, far in sides(image, text):
        shares = (near @ far.T / 0.1).softmax(dim=1)
        expected = expected + kl_div((labels + 1e-8).log(), shares, reduction="batchmean") / 2
    torch.testing.assert_close(made("sdm").loss(image, text, ids), expected, rtol=1e-6, atol=1e-9)


@SEEDS
def test_decoupled_is_info_nce_without_the_positive_in_the_denominator(seed: int) -> None:
    image, text = pairs(seed)
    ids = torch.arange(len(image))
    expected = torch.zeros((), dtype=torch.float64)
    for _, near, far in sides(image, text):
        shares = (near @ far.T / 0.1).softmax(dim=1).diagonal()
        expected = expected + ((1 - shares).log() - shares.log()).mean() / 2
    torch.testing.assert_close(made("decoupled").loss(image, text, ids), expected, rtol=1e-6, atol=1e-9)


@SEEDS
@IDS
def test_weights_of_decoupled_pairs_average_1_over_the_batch_and_fall_with_similarity(ids: Tensor, seed: int) -> None:
    image, text = pairs(seed)
    own, method, plain = (image * text).sum(dim=1).requires_grad_(), made("decoupled", weighted=True), made("decoupled")
    assert isinstance(method, Decoupled)
    assert isinstance(plain, Decoupled)
    method.begin(image, text, ids, Extras())
    similarity, positive = image @ text.T, ids[:, None] == ids[None, :]
    slopes = [torch.autograd.grad(each.direction_loss(similarity, positive, own), own)[0] for each in (method, plain)]
    weights = slopes[0] / slopes[1]
    assert weights.mean().item() == pytest.approx(1, rel=1e-5)
    assert (weights[own.argsort()].diff() <= 0).all()
    wide = made("decoupled", weighted=True, sigma=100.0).loss(image, text, ids)
    torch.testing.assert_close(wide, plain.loss(image, text, ids), rtol=1e-2, atol=1e-2)


@SEEDS
def test_the_whole_loss_of_weighted_pairs_is_both_directions(seed: int) -> None:
    image, text = pairs(seed)
    positive = torch.eye(len(image), dtype=torch.bool).tolist()
    tables = [dots(near, far) for _, near, far in sides(image, text)]
    expected = sum(mean([decoupled(i, s, positive, weighted=True) for i in range(len(s))]) for s in tables)
    got = made("decoupled", weighted=True).loss(image, text, torch.arange(len(image)))
    assert got.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("settings", SETTINGS["bcl"], ids=str)
def test_bcl_weights_average_1_over_many_negatives(settings: dict[str, Any]) -> None:
    """They are a ratio of densities; and what is suspected averages the prior."""
    method, view = made("bcl", **settings), many(4000)
    assert isinstance(method, BCL)
    weights = method.weights(view.similarity, view.positive)[~view.positive]
    assert weights.mean().item() == pytest.approx(1, abs=0.01)
    found = method.suspicion(view)[~view.positive]
    assert found.mean().item() == pytest.approx(method.settings.prior, abs=0.01)
    assert 0 <= found.min() <= found.max() <= 1


def test_bcl_suspects_similar_ones_and_pushes_them_less_where_nothing_is_mined() -> None:
    view = many(200)
    method = made("bcl", alpha=0.9, beta=0.5)
    assert isinstance(method, BCL)
    order = view.similarity[0, 1:].argsort()
    suspicion = method.suspicion(view)[0, 1:][order]
    weights = method.weights(view.similarity, view.positive)[0, 1:][order]
    assert (suspicion.diff() > 0).all()
    assert (weights.diff() < 0).all()
    torch.testing.assert_close(weights * 0.9, 1 - suspicion)  # the probability of a true negative, by its prior
    assert len(set(method.suspicion(many(200, copies=True))[0, 1:].tolist())) == 1  # equals have one rank


def many(count: int, copies: bool = False) -> View:
    """One anchor before a positive and many negatives."""
    stream = torch.Generator().manual_seed(0)
    similarity = 0.3 + 0.1 * torch.randn(1, count + 1, generator=stream, dtype=torch.float64)
    similarity[0, 0] = 0.8
    if copies:
        similarity[0, 1:] = 0.2
    blank = torch.zeros(1, 2, dtype=torch.float64)
    positive = torch.zeros(1, count + 1, dtype=torch.bool)
    positive[0, 0] = True
    others = torch.zeros(count + 1, 2, dtype=torch.float64)
    return View("i2t", blank, others, torch.zeros(1), positive, others, given=similarity)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_gamma_tells_whether_the_most_alike_is_pushed_more_or_spared(modality: str) -> None:
    """By its share of the push; no gradient flows through the likeness."""
    image, text = pairs(2)
    features = (text if modality == "text" else image) @ (text if modality == "text" else image).T
    nearest = features.fill_diagonal_(-torch.inf).argmax(dim=1)
    shares = []
    for gamma in (-1.0, 0.0, 1.0):
        method = listwise("gamma-margin", gamma=gamma, modality=modality)
        i2t, _ = method.look(image, text.requires_grad_(), torch.arange(len(image)))
        push = torch.autograd.grad(method.view_loss(i2t), i2t.similarity)[0]
        push[i2t.positive] = 0
        shares.append((push.gather(1, nearest[:, None])[:, 0] / push.sum(dim=1)).mean())
    assert shares[0] < shares[1] < shares[2]


def test_language_guidance_spares_what_the_guide_finds_alike() -> None:
    method = made("language-guidance", threshold=0.5)
    view = scene(1)
    alike = torch.tensor([supported(i, view) for i in range(5)], dtype=torch.float64)
    found = method.suspicion(view)
    assert found is not None
    assert ((found > 0) == (alike > 0.5)).all()
    torch.testing.assert_close(found, ((alike - 0.5) / 0.5).clamp(0, 1), rtol=1e-6, atol=1e-9)
    loss, none = (listwise("language-guidance", margin=m, threshold=0.5).view_loss(view) for m in (0.2, 0.0))
    assert loss > none


def polynomial_cost(own: float, others: list[float], margin: float = 0.2) -> float:
    hardest = max(others)
    if hardest + margin <= own:
        return 0.0
    return max(0.0, 0.2 * own**2 - 0.7 * own + 0.5) + max(0.0, 0.9 * hardest**2 - 0.4 * hardest + 0.03)


@SEEDS
@IDS
def test_polyloss_equals_the_scalar_form(ids: Tensor, seed: int) -> None:
    image, text = pairs(seed)
    expected, positive = 0.0, (ids[:, None] == ids[None, :]).tolist()
    for _, near, far in sides(image, text):
        s = dots(near, far)
        expected += mean([polynomial_cost(s[i][i], negatives(s[i], positive[i])) for i in range(len(s))])
    assert made("polyloss").loss(image, text, ids).item() == pytest.approx(expected, rel=1e-6)


def test_polyloss_in_closed_form() -> None:
    method = made("polyloss")
    assert isinstance(method, Sampler)
    own, other = torch.tensor([0.9, 0.5, 1.0, 0.3]), torch.tensor([0.6, 0.5, 0.95, 0.2])
    expected = [0.0, 0.2 + 0.055, 0.0 + 0.46225, 0.308 + 0.0]  # below the margin; both; a part below 0 each
    assert method.pair_loss(own, other).tolist() == pytest.approx(expected, abs=1e-6)
