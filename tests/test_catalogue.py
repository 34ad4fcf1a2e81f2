"""The methods of the catalogue against slow transcriptions of their formulas."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from negbench import methods
from negbench.benchmark.speed.method_cost import extras, pairs
from negbench.methods.base import Candidates, Direction, Extras, Guide, Listwise, Sampler, View, Words
from negbench.methods.dcmc import DCMC
from negbench.methods.distance_weighted import DistanceWeighted
from negbench.methods.glofnd import GloFND
from negbench.methods.interface.once import once
from negbench.methods.interface.view import BLOCK
from negbench.methods.momentum_distilled import MomentumDistilled
from negbench.methods.tags import swapped

Rows = list[list[float]]
Mask = list[list[bool]]
T = 0.1
"""Of every softmax loss, by default."""


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
    own = math.exp(s[i][i] / T)
    return -math.log(own / (own + sum(math.exp(value / T) for value in negatives(s[i], p[i])))) / 2


def multi_positive(i: int, s: Rows, p: Mask) -> float:
    total = sum(math.exp(value / T) for value in s[i])
    shares = [-math.log(math.exp(value / T) / total) for value, own in zip(s[i], p[i], strict=True) if own]
    return mean(shares) / 2


def siglip(i: int, s: Rows, p: Mask) -> float:
    terms = [(1 if own else -1) * (10 * value - 10) for value, own in zip(s[i], p[i], strict=True)]
    return sum(-math.log(1 / (1 + math.exp(-term))) for term in terms) / 2


def debiased(i: int, s: Rows, p: Mask, beta: float = 0) -> float:
    others, own = negatives(s[i], p[i]), math.exp(s[i][i] / T)
    weights = [math.exp(beta * value / T) for value in others]
    pushed = sum(w * math.exp(value / T) for w, value in zip(weights, others, strict=True)) / mean(weights)
    g = max((pushed - 0.1 * len(others) * own) / 0.9, len(others) * math.exp(-1 / T))
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


def scene(seed: int = 0, rows: int = 5, columns: int = 9, dim: int = 3) -> View:
    """A direction in float64 with a guide; some anchors share an id, the guide finds some candidates alike."""
    stream = torch.Generator().manual_seed(seed)

    def unit(*shape: int) -> Tensor:
        return normalize(torch.randn(*shape, generator=stream, dtype=torch.float64), dim=-1)

    ids = torch.tensor([0, 1, 1, 2, 3, 0, 4, 5, 2])
    text = unit(columns, 2)
    support = torch.cat([text[:rows, None], normalize(text[:rows, None] + 0.4 * unit(rows, 2, 2), dim=-1)], dim=1)
    return View(
        "i2t",
        anchors=unit(rows, dim),
        candidates=unit(columns, dim),
        anchor_ids=ids[:rows],
        positive=ids[:rows, None] == ids[None, :columns],
        counterparts=unit(columns, dim),
        extras=Extras(torch.arange(rows) + 7, Guide(unit(columns, 2), text, support)),
    )


def dots(one: Tensor, other: Tensor) -> Rows:
    return [[sum(a * b for a, b in zip(x, y, strict=True)) for y in other.tolist()] for x in one.tolist()]


def softmax(values: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


def without(i: int, s: list[float], left_out: list[bool], temperature: float) -> float:
    """-log softmax of the partner, half of it, some candidates left out."""
    kept = [value for j, value in enumerate(s) if j == i or not left_out[j]]
    return -math.log(math.exp(s[i] / temperature) / sum(math.exp(value / temperature) for value in kept)) / 2


def supported(i: int, view: View) -> list[float]:
    """Each candidate's caption with the most similar caption of the anchor's image."""
    return [max(column) for column in zip(*dots(view.guide.support[i], view.guide.text), strict=True)]


def fnc_flags(i: int, view: View) -> list[bool]:
    score, positive = supported(i, view), view.positive[i].tolist()
    others = sorted((j for j in range(len(score)) if not positive[j]), key=lambda j: -score[j])[:10]
    return [positive[j] or (j in others and score[j] > 0.7) for j in range(len(score))]


def fnc_attraction(i: int, s: list[float], view: View) -> float:
    logits, targets = [value / 0.1 for value in s], fnc_flags(i, view)
    pulled = mean([value for value, target in zip(logits, targets, strict=True) if target])
    return (math.log(sum(math.exp(value) for value in logits)) - pulled) / 2


def sacl(i: int, s: list[float], view: View) -> float:
    alike = dots(view.guide.text, view.guide.text)[i]
    kept = sorted(alike)[: int(0.75 * len(alike))]
    out = [value > kept[-1] or own for value, own in zip(alike, view.positive[i].tolist(), strict=True)]
    return without(i, s, out, T)


def gist(i: int, s: list[float], view: View, within: bool = True) -> float:
    """As sentence-transformers' ``GISTEmbedLoss``: anchor-positive, anchor-anchor and positive-positive pairs."""
    own, *rest = view.guide.support[i].tolist()
    among = mean([sum(a * b for a, b in zip(own, other, strict=True)) for other in rest])
    alike = dots(view.guide.support[i, :1], view.guide.text)[0]
    out = [value > among or same for value, same in zip(alike, view.positive[i].tolist(), strict=True)]
    anchors = dots(view.anchors, view.counterparts)[i]
    partners = dots(view.candidates, view.candidates)[i]
    groups = [s, anchors, partners] if within else [s]
    pushed = sum(math.exp(value / T) for group in groups for value, left in zip(group, out, strict=True) if not left)
    return -math.log(math.exp(s[i] / T) / (math.exp(s[i] / T) + pushed)) / 2


def fnac(i: int, s: list[float], view: View) -> float:
    adjacency = softmax([value / T for value in dots(view.candidates, view.candidates)[i]])
    shares = softmax([value / T for value in s])
    distance = sum(abs(a - b) for a, b in zip(adjacency, shares, strict=True))
    return without(i, s, view.positive[i].tolist(), T) + 100 / 128 * distance / 2


def dcmc(i: int, s: list[float], view: View) -> float:
    share = [math.exp(-(2 - 2 * value) / 0.1) for value in dots(view.candidates, view.candidates)[i]]
    share = [value / sum(share) for value in share]
    positive = view.positive[i].tolist()
    nearest = min((j for j in range(len(s)) if not positive[j]), key=lambda j: abs(share[i] - share[j]))
    weights = [1.0] * len(s)
    if abs(share[i] - share[nearest]) < 0.7:
        weights[nearest] = 1 - math.exp(share[nearest]) / sum(math.exp(v) for k, v in enumerate(share) if k != i)
    target = [value * weight for value, weight in zip(share, weights, strict=True)]
    logs = [math.log(value) for value in softmax([value / T for value in s])]
    return -sum(t * log for t, log in zip(target, logs, strict=True)) / sum(target) / 2


def momentum_distilled(i: int, s: list[float], view: View) -> float:
    """At step 51 of a ramp of 200."""
    believed = softmax([value / T for value in dots(view.momentum, view.candidates)[i]])
    labels: list[float] = [own / sum(view.positive[i].tolist()) for own in view.positive[i].tolist()]
    share = 0.4 * 50 / 200
    logs = [math.log(value) for value in softmax([value / T for value in s])]
    target = [share * b + (1 - share) * y for b, y in zip(believed, labels, strict=True)]
    return -sum(t * log for t, log in zip(target, logs, strict=True)) / 2


def glofnd(i: int, s: list[float], view: View) -> float:
    """At the first sight of an anchor its threshold is its largest negative: nothing is left out."""
    return without(i, s, view.positive[i].tolist(), T)


VIEW_FORMULAS: dict[str, Callable[[int, list[float], View], float]] = {
    "fnc-elimination": lambda i, s, view: without(i, s, fnc_flags(i, view), 0.1),
    "fnc-attraction": fnc_attraction,
    "sacl": sacl,
    "gist": gist,
    "fnac": fnac,
    "dcmc": dcmc,
    "momentum-distilled": momentum_distilled,
    "glofnd": glofnd,
}


def ready(name: str) -> Listwise:
    """In float64, past what its first steps do otherwise."""
    method = methods.get(name)().double()
    assert isinstance(method, Listwise)
    if isinstance(method, MomentumDistilled):
        method.steps.fill_(51)
    if isinstance(method, DCMC):
        method.epochs.fill_(2)
    return method


def test_every_listwise_method_has_its_formula_here() -> None:
    """In one of the files of this name."""
    listwise = {name for name in methods.names() if issubclass(methods.get(name), Listwise)}
    files = [import_module(path.stem) for path in Path(__file__).parent.glob("test_catalogue*.py")]
    assert listwise == {name for file in files for name in (*file.FORMULAS, *getattr(file, "VIEW_FORMULAS", ()))}


@pytest.mark.parametrize("name", VIEW_FORMULAS)
@pytest.mark.parametrize("seed", range(5))
def test_loss_of_a_view_equals_the_scalar_form(name: str, seed: int) -> None:
    view = scene(seed)
    s = dots(view.anchors, view.candidates)
    expected = mean([VIEW_FORMULAS[name](i, s[i], view) for i in range(len(s))])
    assert ready(name).view_loss(view).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", VIEW_FORMULAS)
def test_gradient_of_a_view_is_that_of_finite_differences(name: str) -> None:
    """Targets, masks and thresholds are held: what they are made from is no input here."""
    view = scene(3)
    assert torch.autograd.gradcheck(
        lambda anchors: ready(name).view_loss(replace(view, anchors=anchors)), view.anchors.requires_grad_()
    )


def test_the_guide_changes_something_in_these_scenes() -> None:
    """Else the formulas above would be tested on plain InfoNCE."""
    flags = [fnc_flags(i, scene(seed)) for seed in range(5) for i in range(5)]
    positive = [scene(seed).positive[i].tolist() for seed in range(5) for i in range(5)]
    assert any(flag != own for flag, own in zip(flags, positive, strict=True))


@pytest.mark.parametrize(("name", "product"), [("fnc-elimination", "support_likeness"), ("gist", "text_likeness")])
def test_both_directions_share_what_the_guide_says_of_captions(
    name: str, product: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Block by block, so that it is never kept for the whole batch."""
    rows: list[int] = []
    compute = getattr(Guide, product).compute

    def count(guide: Guide) -> Tensor:
        rows.append(len(guide.support))
        found: Tensor = compute(guide)
        return found

    count.__name__ = product
    monkeypatch.setattr(Guide, product, once(count))
    generator = torch.Generator().manual_seed(0)
    image, text, ids, memory = pairs(BLOCK + 6, 20, 8, generator)
    methods.get(name)().loss(image, text, ids, memory, generator, extras(image, text, memory, generator))
    assert rows == [BLOCK, 6]


def test_dcmc_begins_with_plain_targets() -> None:
    method, plain = methods.get("dcmc")().double(), methods.get("multi-positive")().double()
    assert method.view_loss(scene()).item() == pytest.approx(plain.view_loss(scene()).item(), rel=1e-6)
    method.start_epoch()
    assert method.view_loss(scene()).item() == pytest.approx(plain.view_loss(scene()).item(), rel=1e-6)
    method.start_epoch()
    assert method.view_loss(scene()).item() != pytest.approx(plain.view_loss(scene()).item(), rel=1e-3)


def test_gist_without_the_terms_within_a_modality() -> None:
    method, view = methods.get("gist")(within=False).double(), scene(1)
    s = dots(view.anchors, view.candidates)
    expected = mean([gist(i, row, view, within=False) for i, row in enumerate(s)])
    assert method.view_loss(view).item() == pytest.approx(expected, rel=1e-6)
    assert methods.get("gist")().double().view_loss(view).item() > expected


def stepped(method: GloFND, view: View) -> Tensor:
    """The mask of a view after a step of the thresholds, which stays."""
    mask, state = method.step(view)
    method.keep(view, state)
    return mask


def test_glofnd_thresholds_follow_a_scalar_adam() -> None:
    """Six visits of the same anchors, in both directions: the first sets the threshold, the others move it first.

    The order of the authors' ``LambdaThreshold.update``, which they call before ``get_mask``; the moments start as
    the method's docstring has it.
    """
    method = methods.get("glofnd")(share=0.25, rate=0.1).double()
    assert isinstance(method, GloFND)
    view = scene(1)
    s, positive = dots(view.anchors, view.candidates), view.positive.tolist()
    numbers = [0, 2, 3]  # anchors of one id each: those that share one share the threshold of the image
    view = replace(view, anchor_ids=torch.arange(5), positive=view.positive)
    negative = {i: [v for v, own in zip(s[i], positive[i], strict=True) if not own] for i in numbers}
    state = {
        i: [sorted(negative[i])[-2], 0.0, 0.25 * 0.75 / len(negative[i])] for i in numbers
    }  # floor(0.25 * 9) = 2nd largest
    for step in range(1, 7):
        for i in numbers if step > 1 else ():
            threshold, first, second = state[i]
            gradient = 0.25 - mean([float(value > threshold) for value in negative[i]])
            first, second = 0.9 * first + 0.1 * gradient, 0.98 * second + 0.02 * gradient**2
            move = first / (math.sqrt(second) + 1e-8)
            state[i] = [max(-1.0, min(1.0, threshold - 0.1 * move)), first, second]
        masks: dict[str, Tensor] = {}
        rows_of: dict[Direction, list[int]] = {"i2t": numbers, "t2i": [number + 7 for number in numbers]}
        for direction, rows in rows_of.items():
            masks[direction] = stepped(method, replace(view, direction=direction))
            side = 0 if direction == "i2t" else 1
            for i, row in zip(numbers, rows, strict=True):
                assert method.state[side, row, :3].tolist() == pytest.approx(state[i], abs=1e-6)
                left_out = [value > state[i][0] for value in s[i]]
                expected = [out and not own for out, own in zip(left_out, positive[i], strict=True)]
                assert masks[direction][i].tolist() == expected  # by the threshold as moved
    assert any(state[i][0] < sorted(negative[i])[-2] for i in numbers)


@pytest.mark.parametrize(("share", "others"), [(0.001, 127), (0.001, 2047), (0.01, 127), (0.05, 127)])
def test_glofnd_leaves_out_its_share_from_the_first_visits_on(share: float, others: int) -> None:
    """Of 2,000 anchors whose candidates are new at each visit, normal with deviation 0.1 around 0.3."""
    method = methods.get("glofnd")(share=share)
    assert isinstance(method, GloFND)
    stream = torch.Generator().manual_seed(0)
    rows, ids = 250, torch.arange(2000)
    positive = torch.zeros(rows, others + 1, dtype=torch.bool)
    positive[:, 0] = True
    shares = []
    for _ in range(6):
        found = 0
        for some in torch.split(ids, rows):
            similarity = 0.3 + 0.1 * torch.randn(rows, others + 1, generator=stream)
            blank = torch.zeros(rows, 2)
            view = View("i2t", blank, torch.zeros(others + 1, 2), some, positive, torch.zeros(others + 1, 2))
            view = replace(view, given=similarity, extras=Extras(some))
            found += int(stepped(method, view).sum())
        shares.append(found / (len(ids) * others))
    assert shares[0] <= share  # the visit that sets the threshold leaves out what is above it
    assert all(0.4 * share < one < 1.6 * share for one in shares[1:]), [one / share for one in shares]


def test_fne_info_nce_is_a_softmax_over_what_it_drew() -> None:
    method = methods.get("fne-info-nce")(count=3, temperature=0.2).double()
    view = scene(2)
    loss = method.view_loss(view)
    index, s = method.chosen["i2t"], dots(view.anchors, view.candidates)
    assert index.shape == (5, 3)
    costs = []
    for i in range(5):
        drawn = [math.exp(s[i][j] / 0.2) for j in index[i].tolist()]
        costs.append(-math.log(math.exp(s[i][i] / 0.2) / (math.exp(s[i][i] / 0.2) + sum(drawn))) / 2)
    assert loss.item() == pytest.approx(mean(costs), rel=1e-6)


def test_tags_swaps_a_word_for_one_of_the_same_place() -> None:
    captions = [
        ["A red dog runs.", "a blue dog runs ."],
        ["a blue dog sits", "one dog"],
        ["birds", "many birds"],
        ["the red dog", "x"],
    ]
    owners, sentences = swapped(captions, 5, random.Random(0))
    # "a _ dog" knows red and blue, but the first image has the blue dog already; articles stay
    assert list(zip(owners, sentences, strict=True)) == [(1, "a red dog sits")]
    both = swapped([["a red dog"], ["a blue dog"], ["a tiny dog"]], 1, random.Random(1))
    assert both[0] == [0, 1, 2]
    assert swapped([["one"], ["two words"]], 3, random.Random(0)) == ([], [])


def test_tags_adds_the_hinge_of_made_sentences() -> None:
    made = normalize(torch.ones(1, 3, dtype=torch.float64), dim=1)
    words = Words([["a red dog"], ["a blue dog"], ["bird"], ["x"], ["the dog"]], lambda sentences: made.expand(2, -1))
    view = scene(4)
    view = replace(view, extras=Extras(words=words), generator=torch.Generator().manual_seed(0))
    plain, method = methods.get("hardest")(), methods.get("tags")(weight=0.5)
    own = view.positive_similarity.tolist()
    hinge = [max(0.0, 0.2 + float(view.anchors[i] @ made[0]) - own[i]) for i in (0, 1)]
    expected = plain.view_loss(view).item() + 0.5 * mean(hinge)
    assert method.view_loss(view).item() == pytest.approx(expected)
    back = replace(view, direction="t2i")
    assert method.view_loss(back).item() == plain.view_loss(back).item()


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
    assert method.direction_loss(similarity, positive, similarity.diagonal()).item() == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    method = methods.get(name)().double()
    assert isinstance(method, Listwise)
    similarity, positive = case(3)
    assert torch.autograd.gradcheck(
        lambda s: method.direction_loss(s, positive, s.diagonal()), similarity.requires_grad_()
    )


def test_info_nce_is_cross_entropy_where_no_image_repeats() -> None:
    method = methods.get("info-nce")().double()
    assert isinstance(method, Listwise)
    similarity, _ = case(columns=5)
    positive = torch.eye(5, dtype=torch.bool)
    expected = torch.nn.functional.cross_entropy(similarity / T, torch.arange(5)) / 2
    torch.testing.assert_close(
        method.direction_loss(similarity, positive, similarity.diagonal()), expected, rtol=1e-6, atol=0
    )
    multi = methods.get("multi-positive")().double()
    assert isinstance(multi, Listwise)
    torch.testing.assert_close(
        multi.direction_loss(similarity, positive, similarity.diagonal()), expected, rtol=1e-6, atol=0
    )


SOFTMAX = [name for name in methods.names() if hasattr(methods.get(name).Settings, "temperature")]


@pytest.mark.parametrize("name", [name for name in SOFTMAX if issubclass(methods.get(name), Listwise)])
def test_softmax_losses_share_their_temperature(name: str) -> None:
    assert methods.get(name)().settings.temperature == 0.1


def test_temperature_is_learnt_where_told() -> None:
    assert [weight.requires_grad for weight in methods.get("info-nce")().parameters()] == [False]
    assert [weight.requires_grad for weight in methods.get("info-nce")(learn=True).parameters()] == [True]
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
    got = DistanceWeighted().weights(SIMILARITY[None, 1:], 16)[0]
    torch.testing.assert_close(got, expected[1:] / expected.max())


def test_distance_weighted_takes_the_dimension_of_the_features() -> None:
    """Random points in 64 dimensions: on the sphere of 512 the nearest would take most of the weight."""
    stream = torch.Generator().manual_seed(0)
    image, text = (normalize(torch.randn(300, 64, generator=stream), dim=1) for _ in range(2))

    def hardest(**changes: object) -> float:
        """Share of anchors whose hardest negative was drawn."""
        method, plain = methods.get("distance-weighted")(**changes), methods.get("hardest")()
        for each in (method, plain):
            each.loss(image, text, torch.arange(300), generator=torch.Generator().manual_seed(1))
        return float((method.chosen["i2t"] == plain.chosen["i2t"]).float().mean())

    assert hardest() == hardest(dimension=64)
    assert hardest() < 0.5 * hardest(dimension=512)
    unknown = Candidates.of(SIMILARITY[None].clone(), torch.tensor([0.7]), torch.tensor([0]), torch.arange(7))
    with pytest.raises(ValueError, match=r"^candidates: their dimension is not given, and the method needs it$"):
        DistanceWeighted().choose(unknown)


def test_distance_weighted_takes_the_hardest_where_all_are_far() -> None:
    method = methods.get("distance-weighted")(cutoff=0.5)
    assert isinstance(method, Sampler)
    ids = torch.tensor([0]), torch.arange(7)
    seen = Candidates.of(SIMILARITY[None].clone(), torch.tensor([0.7]), *ids, dimension=16)
    assert method.choose(seen).tolist() == [1]


def test_positive_aware_skips_what_is_too_near_the_positive() -> None:
    method = methods.get("positive-aware")(distance=0.15)
    assert isinstance(method, Sampler)
    seen = Candidates.of(SIMILARITY[None].clone(), torch.tensor([0.7]), torch.tensor([0]), torch.arange(7))
    assert method.choose(seen).tolist() == [2]  # 0.6 lies above 0.7 - 0.15
    seen = Candidates.of(SIMILARITY[None].clone(), torch.tensor([-0.95]), torch.tensor([0]), torch.arange(7))
    assert method.choose(seen).tolist() == [6]  # none below: the least similar
