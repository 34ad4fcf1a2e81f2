"""The audit of false negatives: what is pushed, what is suspected, what is in order; against slow, plain versions."""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from commands import bench
from negbench import methods
from negbench.benchmark.audit.asking import Examination
from negbench.benchmark.audit.figures import audit_test, detection
from negbench.benchmark.audit.pushes import audit, push
from negbench.benchmark.errors import NoDataError, RunFailedError
from negbench.benchmark.evaluation.detection import average_precision, calibration, roc_auc
from negbench.benchmark.evaluation.gallery import Gallery
from negbench.benchmark.evaluation.known_pairs import MATCH, NO_MATCH, UNKNOWN, Codes, Exact, Judged, KnownPairs, exact
from negbench.benchmark.evaluation.order import order_accuracy
from negbench.benchmark.evaluation.shares import share, wilson
from negbench.benchmark.evaluation.similarities import BINS, histograms, read_similarities
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results import integrity, records
from negbench.benchmark.sweeps import cell
from negbench.benchmark.training import loop
from negbench.benchmark.training.extras import ExtrasOf, Texts, centred
from negbench.benchmark.training.inputs import opened, towers_for
from negbench.benchmark.training.loop import train
from negbench.benchmark.training.watcher import Watcher
from negbench.methods.base import Method, Sampler, View, views
from negbench.methods.fne_info_nce import FNEInfoNCE
from negbench.pipelines.manifest import Manifest, table
from negbench.pipelines.rows import Indices
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth
from recorded import forget_truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

Tiny = tuple[Manifest, FeatureStore]
DIM = 12  # of the features in ``tiny``


def config(**changes: Any) -> RunConfig:
    plain: dict[str, Any] = {
        "method": "hardest",
        "dataset": "tiny",
        "encoder": "made+up",
        "epochs": 3,
        "batch": 16,
        "memory": 8,
        "dim": 8,
        "learning_rate": 0.01,
    }
    return RunConfig(**(plain | changes))


TEXTS = Texts(
    [f"caption {k % 3} of image {k // 3}" for k in range(180)],
    lambda lines: np.array([[len(line) % (k + 2) for k in range(DIM)] for line in lines], dtype=np.float32),
)


class All(KnownPairs):
    """Every pair is judged, by a matrix ``[I, C]`` of codes."""

    def __init__(self, codes: Codes) -> None:
        self.codes = codes

    def block(self, images: Indices, captions: Indices) -> Codes:
        return self.codes[images[:, None], captions]


def examined(tiny: Tiny, name: str, memory: int = 8, split: str = "test") -> tuple[Method, Examination, KnownPairs]:
    method, model = methods.get(name)(), towers_for(tiny[1], config())
    data, trained = (opened(tiny[1], which, config(), model) for which in (split, "train"))
    extras_of = ExtrasOf([method], trained, model, TEXTS).of(data)
    known_pairs = exact(Truth.read(manifest_folder("tiny")), data.split.image_rows, data.split.caption_rows)
    assert known_pairs is not None
    return method, Examination.of(config(memory=memory), data.gallery(model), extras_of, "test"), known_pairs


def gallery_of(images: Tensor, captions: Tensor, owner: Tensor) -> Gallery:
    rows = owner, torch.arange(len(images)), torch.arange(len(captions))
    return Gallery(images, captions, *rows, [f"i{k}" for k in range(len(images))], [f"c{k}" for k in range(len(owner))])


# --- shares, areas, curves


def test_the_interval_is_wilsons_where_every_item_stands_alone() -> None:
    part = np.array([1.0] * 30 + [0.0] * 170)
    found = share(part, np.ones(200), np.arange(200))
    squares = [(one - 0.15) ** 2 for one in part]
    freedom = sum(squares) ** 2 / sum(square**2 for square in squares)
    z, n, p = float(scipy.stats.t.ppf(0.975, freedom)), 199, 0.15  # G / (G - 1) of the variance
    low, high = wilson(p, n, z)
    assert found == {"": 0.15, "_low": pytest.approx(low), "_high": pytest.approx(high)}
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert low == pytest.approx((centre - half) / (1 + z * z / n), abs=1e-5)
    assert high == pytest.approx((centre + half) / (1 + z * z / n), abs=1e-5)


def two_way(part: list[float], whole: list[float], g: list[int], h: list[int]) -> float:
    """Variance of a share, clustered both ways, in plain loops; the larger way where the sum is below it."""
    total, found = sum(whole), sum(part) / sum(whole)

    def of(keys: list[Any]) -> float:
        sums = [sum(p - found * w for p, w, k in zip(part, whole, keys, strict=True) if k == key) for key in {*keys}]
        return len(sums) / (len(sums) - 1) * sum(one**2 for one in sums)

    return max(of(g) + of(h) - of([*zip(g, h, strict=True)]), of(g), of(h)) / total**2


@pytest.mark.parametrize("seed", range(8))
def test_clusters_of_two_kinds_against_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 7, 60), rng.integers(0, 2 + 3 * seed, 60)
    whole = rng.uniform(0.5, 2, 60)
    part = whole * (rng.random(60) < 0.2 + 0.5 * (h == 0))
    found = share(part, whole, g, h)
    variance = two_way(part.tolist(), whole.tolist(), g.tolist(), h.tolist())
    squares = [
        [float(((part - found[""] * whole)[of == key]).sum()) ** 2 for key in np.unique(of)] for of in (g, h)
    ]  # fmt: skip
    freedom = min(
        max(2.0, sum(some) ** 2 / sum(one**2 for one in some)) if max(some) > 1e-20 else 99 for some in squares
    )
    z = float(scipy.stats.t.ppf(0.975, freedom))
    expected = wilson(found[""], found[""] * (1 - found[""]) / variance, z)
    assert (found["_low"], found["_high"]) == pytest.approx(expected)
    assert share(3 * part, 3 * whole, g, h) == pytest.approx(found)  # its unit has no effect
    assert share(part, whole, h, g) == pytest.approx(found)


def test_a_hub_widens_the_interval() -> None:
    """A hundred anchors of as many images, half of whose picks are one candidate: the same matches, or spread out."""
    match, anchors = np.array([1.0] * 50 + [0.0] * 50), np.arange(100)
    alone = share(match, np.ones(100), anchors, anchors)
    hub = share(match, np.ones(100), anchors, np.where(match > 0, 0, anchors))
    assert hub["_high"] - hub["_low"] > 2 * (alone["_high"] - alone["_low"])


def test_picks_that_repeat_within_an_image_say_no_more_than_one() -> None:
    once = share(np.array([1.0] * 10 + [0.0] * 40), np.ones(50), np.arange(50))
    repeated = share(np.array([1.0] * 40 + [0.0] * 160), np.ones(200), np.repeat(np.arange(50), 4))
    assert repeated == pytest.approx(once)


def test_a_share_of_zero_has_an_interval_and_one_of_nothing_has_none() -> None:
    found = share(np.zeros(20), np.ones(20), np.repeat(np.arange(5), 4))
    assert found[""] == found["_low"] == 0
    assert found["_high"] == pytest.approx(wilson(0, 5)[1])
    assert share(np.zeros(3), np.zeros(3), np.arange(3)) == {}


scored = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40)


@given(scored)
def test_area_and_precision_as_counted_one_by_one(pairs: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([s / 6 for s, _ in pairs]), np.array([label for _, label in pairs])
    ups, downs = scores[labels], scores[~labels]
    wins = sum(1.0 if up > down else 0.5 if up == down else 0.0 for up in ups for down in downs)
    area = roc_auc(scores, labels)
    assert math.isnan(area) if not len(ups) or not len(downs) else area == pytest.approx(wins / len(ups) / len(downs))
    expected, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        above = labels[scores >= threshold]
        recall = above.sum() / max(len(ups), 1)
        expected, before = expected + (recall - before) * above.mean(), recall
    precision = average_precision(scores, labels)
    assert math.isnan(precision) if not len(ups) else precision == pytest.approx(expected)


def test_calibration_bin_by_bin() -> None:
    scores, labels = np.array([0.0, 0.05, 0.1, 0.99, 1.0]), np.array([False, True, False, True, True])
    curve = calibration(scores, labels)
    assert curve[0].tolist() == pytest.approx([0.025, 0.5, 2])
    assert curve[1].tolist() == pytest.approx([0.1, 0, 1])
    assert curve[9].tolist() == pytest.approx([0.995, 1, 2])
    assert np.isnan(curve[5, :2]).all()
    assert curve[:, 2].sum() == 5


# --- what is known


def test_experts_win_and_thresholds_are_settings() -> None:
    rows = [
        ("a", "b#0", 1.0, "crowd"),
        ("a", "b#0", 1 / 3, "expert"),
        ("a", "b#1", 0.5, "crowd"),
        ("b", "a#0", 2 / 3, "expert"),
        ("b", "a#1", 0.4, "machine"),
        ("z", "a#1", 1.0, "crowd"),
    ]
    table_ = table("judgements", rows)
    images, captions = ["a", "b"], ["a#0", "a#1", "b#0", "b#1"]
    judged = Judged.of(table_, images, captions)
    assert judged is not None
    every = judged.block(np.arange(2), np.arange(4))
    assert every.tolist() == [[UNKNOWN, UNKNOWN, NO_MATCH, MATCH], [MATCH, NO_MATCH, UNKNOWN, UNKNOWN]]
    assert judged.block(np.array([1, 0, 1]), np.array([3, 0])).tolist() == [[-1, 1], [1, -1], [-1, 1]]
    strict = Judged.of(table_, images, captions, {"expert": 0.7, "crowd": 0.51, "machine": 0.4})
    assert strict is not None
    assert strict.block(np.arange(2), np.arange(4)).tolist() == [[-1, -1, 0, 0], [0, 1, -1, -1]]
    assert Judged.of(table_, ["y"], ["y#0"]) is None
    assert Judged.of(table("judgements", []), images, captions) is None


# --- (a) what is pushed


def test_a_push_is_what_the_loss_would_lose_by_it() -> None:
    """A sampler pushes its picks whose hinge is active, a softmax its shares; both by the slope of their loss."""
    torch.manual_seed(1)
    image = normalize(torch.randn(6, 4), dim=1)
    text = normalize(image + 0.4 * torch.randn(6, 4), dim=1).requires_grad_()  # near, so that some hinges are inactive
    image.requires_grad_()
    ids, inactive = torch.tensor([0, 0, 1, 2, 3, 4]), 0
    for view in views(image, text, ids):
        hardest, softmax = push(methods.get("hardest")(), view), push(methods.get("info-nce")(temperature=0.2), view)
        assert hardest.slope is not None
        assert hardest.picks is not None
        assert softmax.slope is not None
        assert softmax.picks is None
        similarity = (view.anchors @ view.candidates.T).tolist()
        for i in range(6):
            negatives = [j for j in range(6) if ids[i] != ids[j]]
            best = max(negatives, key=lambda j: similarity[i][j])
            active = 0.2 + similarity[i][best] - similarity[i][i] > 0
            inactive += not active
            assert hardest.picks[i].tolist() == [float(j == best) for j in range(6)]
            assert hardest.slope[i].tolist() == pytest.approx([float(j == best and active) for j in range(6)])
            total = sum(math.exp(similarity[i][j] / 0.2) for j in [i, *negatives])
            expected = [math.exp(similarity[i][j] / 0.2) / total / 0.2 / 2 if j in negatives else 0 for j in range(6)]
            assert softmax.slope[i].tolist() == pytest.approx(expected, rel=1e-4)
    assert 0 < inactive < 12


@pytest.mark.parametrize("name", ["hardest", "sct", "top-k", "fne", "fne-info-nce", "semi-hard"])
def test_the_slope_of_a_choice_against_its_loss_written_out(name: str) -> None:
    """The loss of the chosen pairs from their similarities alone, each a leaf."""
    torch.manual_seed(2)
    image, text = (normalize(torch.randn(8, 3), dim=1).requires_grad_() for _ in range(2))
    for view in views(image, text, torch.tensor([0, 1, 2, 3, 4, 5, 6, 6])):
        method = methods.get(name)()
        found = push(method, view)
        index = method.chosen[view.direction].reshape(8, -1)
        assert found.slope is not None
        expected = torch.zeros(8, 8)
        for i in range(8):
            own = view.positive_similarity[i].detach()
            pairs = (view.anchors[i] @ view.candidates[index[i].clamp_min(0)].T).detach().requires_grad_()
            real = pairs[index[i] >= 0]
            if isinstance(method, FNEInfoNCE):
                logits = torch.cat([own[None], real]) * method.softmax.scale.detach()
                cost = (logits.logsumexp(dim=0) - logits[0]) / 2
            else:
                assert isinstance(method, Sampler)
                cost = method.pair_loss(own.expand_as(real), real).sum()
            (slopes,) = torch.autograd.grad(cost, pairs)
            for j, slope in zip(index[i].tolist(), slopes.tolist(), strict=True):
                expected[i, j] += max(slope, 0)
        expected[view.positive] = 0
        assert found.slope == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-5)
        assert "pick" not in vars(method)


def test_pulling_is_no_push() -> None:
    class Pulls(Method):
        def view_loss(self, view: View) -> Tensor:
            return view.similarity[:, 2].sum() - view.similarity[:, 3].sum()

    image, text = (normalize(torch.randn(5, 4), dim=1).requires_grad_() for _ in range(2))
    for view in views(image, text, torch.arange(5)):
        found = push(Pulls(), view)
        assert found.picks is None
        assert found.slope is not None
        assert found.slope.tolist() == [[0, 0, 5 * float(i != 2), 0, 0] for i in range(5)]


def test_what_the_interface_does_not_show_is_not_audited(tiny: Tiny) -> None:
    class Hidden(Method):
        def view_loss(self, view: View) -> Tensor:
            return (view.anchors @ view.candidates.T).sum()

    _, examination, known_pairs = examined(tiny, "hardest")
    for direction, found in audit(Hidden(), examination, known_pairs).items():
        assert found.shares(direction) == {}


@pytest.mark.parametrize("memory", [0, 8])
@pytest.mark.parametrize("name", methods.names())
def test_every_method_is_audited_and_left_as_it_was(name: str, memory: int, tiny: Tiny) -> None:
    method, examination, known_pairs = examined(tiny, name, memory)
    before = copy.deepcopy(method.state_dict())
    for direction, found in audit(method, examination, known_pairs).items():
        figures = found.shares(direction)
        pushed = f"pushed_{direction}"
        assert 0 <= figures[f"{pushed}_low"] <= figures[pushed] <= figures[f"{pushed}_high"] <= 1
        assert 0 < figures[f"{pushed}_judged"] == pytest.approx(figures[f"{pushed}_all"])
        assert figures[f"{pushed}_all"] == round(figures[f"{pushed}_all"]) <= figures[f"{pushed}_anchors"] == 16
        chooses = isinstance(method, Sampler)
        assert (f"picked_{direction}_low" in figures) == chooses
        if chooses:  # what is pushed was picked, but not all that was picked is pushed
            assert figures[f"{pushed}_all"] <= figures[f"picked_{direction}_all"] <= 16
        areas, _ = detection(found, direction)
        assert f"similarity_{direction}_auc" in areas
        suspicious = type(method).suspicion is not Method.suspicion
        assert (f"suspicion_{direction}_auc" in areas) == suspicious
    after = method.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    for question, _, _ in examination.steps(method):
        view, kept = question.view, copy.deepcopy(method.state_dict())
        suspicion = method.suspicion(view)  # of the method itself: to be asked changes nothing
        assert all(torch.equal(kept[key], value) for key, value in method.state_dict().items())
        done = push(question.method, view)
        assert done.slope is not None
        assert done.slope.min() >= 0
        assert not done.slope[view.positive.numpy()].any()
        if done.picks is not None:
            sums = done.picks.sum(axis=1)
            assert np.all(np.isclose(sums, 1, atol=1e-5) | (sums == 0))
            assert not done.picks[view.positive.numpy()].any()
            assert not done.slope[done.picks == 0].any()
        assert suspicion is None or (suspicion.shape == view.positive.shape and 0 <= suspicion.min() <= suspicion.max())
        assert suspicion is None or suspicion.max() <= 1 + 1e-6


def test_the_shares_against_a_loop_over_the_picks(tiny: Tiny) -> None:
    """Partly judged: picks that nobody judged count for nothing, and for the push those that cost nothing."""
    method, examination, _ = examined(tiny, "random")
    codes = np.random.default_rng(0).integers(-1, 2, (10, 30)).astype(np.int8)
    found = audit(method, examination, All(codes))
    assert isinstance(method, Sampler)
    margin = method.settings.margin
    counted = {name: {"i2t": [0, 0, 0], "t2i": [0, 0, 0]} for name in ("picked", "pushed")}
    items: dict[str, list[tuple[int, int, int]]] = {"i2t": [], "t2i": []}
    owner = examination.gallery.caption_image.tolist()
    for question, anchors, pool in examination.steps(method):
        view, asked = question.view, question.method
        push(asked, view)
        for place, index in enumerate(asked.chosen[view.direction].tolist()):
            anchor, candidate = int(anchors[place]), int(pool[index])
            image, caption = (owner[anchor], candidate) if view.direction == "i2t" else (owner[candidate], anchor)
            assert owner[anchor] != owner[candidate]
            code = codes[image, caption]
            if code >= 0:
                items[view.direction].append((code, owner[anchor], owner[candidate]))
            cost = margin + view.similarity[place, index] - view.positive_similarity[place]
            for name in ("picked", *(["pushed"] if cost > 0 else [])):
                for place_, counts in enumerate((code == 1, code >= 0, True)):
                    counted[name][view.direction][place_] += counts
    for name, by_direction in counted.items():
        for direction, one in found.items():
            figures, name_ = one.shares(direction), f"{name}_{direction}"
            match, judged, picks = by_direction[direction]
            assert figures[name_] == pytest.approx(match / judged)
            assert figures[f"{name_}_judged"] == pytest.approx(judged)
            assert (figures[f"{name_}_all"], figures[f"{name_}_anchors"]) == (picks, 16)
    assert counted["pushed"] != counted["picked"]
    for direction, one in found.items():  # picks of one anchor's image go together, and picks of one candidate's
        match, anchors_, candidates = np.array(items[direction]).T
        expected = share(match.astype(float), np.ones(len(match)), anchors_, candidates)
        figures = one.shares(direction)
        assert [figures[f"picked_{direction}{end}"] for end in ("_low", "_high")] == pytest.approx(
            [expected["_low"], expected["_high"]]
        )


def test_an_anchor_that_hardly_moves_hardly_counts(tiny: Tiny) -> None:
    """Of a softmax as of a hinge: the push is the slope, not one for every anchor."""

    class Steep(Method):
        def view_loss(self, view: View) -> Tensor:
            strength = torch.where(torch.arange(len(view.anchors)) == 0, 100.0, 1e-3)
            return (view.similarity.mean(dim=1) * strength).mean()

    _, examination, _ = examined(tiny, "hardest")
    codes = np.zeros((10, 30), dtype=np.int8)
    for question, anchors, _ in examination.steps(Steep()):
        if question.view.direction == "i2t":
            first = examination.gallery.caption_image.tolist()[int(anchors[0])]
    codes[first] = 1
    figures = audit(Steep(), examination, All(codes))["i2t"].shares("i2t")
    assert figures["pushed_i2t"] > 0.99
    assert figures["pushed_i2t_all"] == figures["pushed_i2t_anchors"] == 16


def test_a_random_sampler_picks_at_the_base_rate(tiny: Tiny) -> None:
    method, examination, _ = examined(tiny, "random", memory=24, split="train")
    codes = (np.random.default_rng(1).random((40, 120)) < 0.2).astype(np.int8)
    inside = 0
    for seed in range(20):
        found = audit(method, replace(examination, seed=seed), All(codes))
        for direction, one in found.items():
            figures, x = one.shares(direction), f"picked_{direction}"
            inside += figures[f"{x}_low"] <= figures[f"{x}_base"] <= figures[f"{x}_high"]
            assert figures[f"{x}_base"] == pytest.approx(0.2, abs=0.03)
    assert inside >= 34  # of 40; nominally 38


def test_a_pool_is_the_batch_and_the_captions_that_follow(tiny: Tiny) -> None:
    method, examination, _ = examined(tiny, "hardest", memory=8)
    seen: list[int] = []
    for question, anchors, pool in examination.steps(method):
        assert len(set(pool.tolist())) == len(pool) == 24
        assert pool[:16].tolist() == anchors.tolist()
        view = question.view
        assert torch.equal(view.positive[:, :16].diagonal(), torch.ones(16, dtype=torch.bool))
        seen += anchors.tolist() if view.direction == "i2t" else []
    assert len(set(seen)) == len(seen) == 16  # of 30: whole batches only
    assert [len(pool) for _, _, pool in examined(tiny, "hardest", memory=0)[1].steps(method)] == [16, 16]


# --- (b) what is suspected


def test_a_method_that_knows_the_truth_detects_all(tiny: Tiny) -> None:
    class Knows(methods.get("hardest")):  # type: ignore[misc]
        def suspicion(self, view: View) -> Tensor:
            known: Tensor = self.truth[view.direction]
            return known

    _, examination, known_pairs = examined(tiny, "hardest")
    method = Knows()
    owner = examination.gallery.caption_image.numpy()
    found = {}
    for question, anchors, pool in examination.steps(method):
        view = question.view
        images, captions = (owner[anchors], pool.numpy()) if view.direction == "i2t" else (owner[pool], anchors.numpy())
        block = known_pairs.block(images, captions)
        found[view.direction] = torch.from_numpy((block if view.direction == "i2t" else block.T) == MATCH).float()
    method.truth = found
    for direction, one in audit(method, examination, known_pairs).items():
        figures, curve = detection(one, direction)
        assert figures[f"suspicion_{direction}_auc"] == figures[f"suspicion_{direction}_ap"] == 1
        assert figures[f"similarity_{direction}_auc"] < 1
        assert curve[[0, 9], 1].tolist() == [0, 1]


# --- (c) what is in order


def test_order_against_a_loop_over_triples() -> None:
    rng = np.random.default_rng(2)
    images, captions = (torch.tensor(rng.integers(-2, 3, (n, 3)), dtype=torch.float32) for n in (5, 11))
    owner = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0])
    codes = rng.integers(-1, 2, (5, 11)).astype(np.int8)
    found = order_accuracy(gallery_of(images, captions, owner), All(codes))
    similarity = (images @ captions.T).tolist()
    counts = {"i2t": [0.0, 0, 0], "t2i": [0.0, 0, 0]}
    for direction, anchors, candidates in (("i2t", range(5), range(11)), ("t2i", range(11), range(5))):
        for a in anchors:
            pairs = [(a, c) if direction == "i2t" else (c, a) for c in candidates]
            pairs = [(i, c) for i, c in pairs if owner[c] != i]
            ups, downs = ([similarity[i][c] for i, c in pairs if codes[i, c] == code] for code in (1, 0))
            counts[direction][0] += sum(1.0 if up > down else 0.5 * (up == down) for up in ups for down in downs)
            counts[direction][1] += len(ups) * len(downs)
            counts[direction][2] += bool(ups and downs)
    for direction, (right, pairs_, anchors_) in counts.items():
        assert found[f"order_{direction}"] == pytest.approx(right / pairs_)
        assert (found[f"order_{direction}_pairs"], found[f"order_{direction}_anchors"]) == (pairs_, anchors_)


# --- (d) histograms


def test_histograms_against_a_loop_over_pairs() -> None:
    torch.manual_seed(0)
    images, captions = normalize(torch.randn(7, 5), dim=1), normalize(torch.randn(21, 5), dim=1)
    owner = torch.arange(21) % 7
    codes = np.random.default_rng(3).integers(-1, 2, (7, 21)).astype(np.int8)
    found = histograms(gallery_of(images, captions, owner), 8, 0, All(codes))
    expected: dict[str, NDArray[np.int64]] = {name: np.zeros(BINS, dtype=np.int64) for name in found}
    similarity = images @ captions.T
    for i in range(7):
        for c in range(21):
            place = min(BINS - 1, int((similarity[i, c] + 1) * 100))
            if owner[c] == i:
                expected["positive"][place] += 1
                continue
            expected["negative"][place] += 1
            if codes[i, c] >= 0:
                expected["false_negative" if codes[i, c] else "true_negative"][place] += 1
    for name in ("positive", "negative", "false_negative", "true_negative"):
        assert found[name].tolist() == expected[name].tolist(), name
    assert found["hardest"].sum() == 42
    assert np.flatnonzero(found["hardest"]).mean() > np.average(np.arange(BINS), weights=found["negative"])
    assert set(histograms(gallery_of(images, captions, owner), 8, 0)) == {"positive", "negative", "hardest"}


# --- a cell


def test_the_audit_changes_no_digit_of_the_training(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """For methods with statistics, learnt parameters, thresholds and random draws."""
    truth = Truth.read(manifest_folder("tiny"))

    def digits(name: str) -> tuple[Any, ...]:
        trained = train(config(method=name, dropout=0.3), tiny[1], truth)
        apart = ("seconds", "pairs_per_s", "ms_", "val_pushed_i2t", "val_pushed_t2i")
        rows = [{key: value for key, value in row.items() if not key.startswith(apart)} for row in trained.history]
        return rows, {key: value.tolist() for key, value in trained.task.towers.state_dict().items()}

    names = ("fne", "info-nce", "glofnd", "momentum-distilled", "gist")
    with_audit = {name: digits(name) for name in names}
    monkeypatch.setattr(loop, "pushed_shares", lambda *_: {})
    monkeypatch.setattr(loop, "histograms", lambda *_: {})
    assert {name: digits(name) for name in names} == with_audit


def test_a_record_holds_the_audit(tiny: Tiny, tmp_path: Path) -> None:
    manifest, store = tiny
    one = cell.run(config(method="fne"), tmp_path / "one", manifest, store, Watcher())
    two = cell.run(config(method="fne"), tmp_path / "two", manifest, store, Watcher())
    assert one.audit == two.audit
    assert {"pushed_i2t", "pushed_t2i_low", "picked_i2t", "order_i2t", "order_t2i_start", "suspicion_i2t_auc"} <= set(
        one.audit
    )
    assert 0 < one.audit["pushed_i2t_base"] < 1
    assert (tmp_path / "one/similarities.npz").read_bytes() == (tmp_path / "two/similarities.npz").read_bytes()
    arrays = read_similarities(tmp_path / "one/similarities.npz")
    assert arrays["validation_false_negative"].shape == (3, BINS)
    assert arrays["validation_positive"].sum(axis=1).tolist() == [30, 30, 30]
    assert arrays["test_negative"].sum() == 10 * 30 - 30
    assert np.isnan(arrays["fitted"][0]).all()
    assert np.isfinite(arrays["fitted"][1:]).all()
    assert arrays["calibration_i2t"].shape == (10, 3)
    history = (tmp_path / "one/history.csv").read_text().splitlines()
    assert "val_pushed_i2t" in history[0]


def test_without_judgements_there_are_histograms_only(tiny: Tiny) -> None:
    trained = train(config(), tiny[1], None)
    task = trained.task
    data = opened(tiny[1], "test", config(), task.towers)
    examination = Examination.of(config(), data.gallery(task.towers), task.extras_of.of(data), "test")
    found = audit_test(task.method, examination, None, None)
    assert found.figures == {}
    assert set(found.arrays) == {"test_positive", "test_negative", "test_hardest"}
    assert not any(name.startswith("val_pushed") for name in trained.history[-1])


def test_judged_pairs_of_the_test_split_are_audited(tiny: Tiny, tmp_path: Path) -> None:
    manifest, store = tiny
    forget_truth(manifest_folder("tiny"))
    rows = [(f"test{i}", f"test{k}#{i % 3}", float((i + k) % 4 == 0), "crowd") for i in range(10) for k in range(10)]
    judged = Manifest("tiny", manifest.images, manifest.captions, table("judgements", rows))
    record = cell.run(config(), tmp_path / "out", judged, store, Watcher())
    assert 0 < record.audit["picked_i2t_judged"] < record.audit["picked_i2t_all"] == 16
    assert 0 < record.audit["pushed_i2t_judged"] < record.audit["pushed_i2t_all"] <= 16
    assert record.audit["order_i2t_anchors"] > 0


def with_suspicion(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Every audit of ``hardest`` fails."""

    class Breaks(methods.get("hardest")):  # type: ignore[misc]
        def suspicion(self, view: View) -> Tensor:
            raise error

    monkeypatch.setattr(methods, "get", lambda name: Breaks if name == "hardest" else methods.registry.get(name))


def test_an_audit_that_fails_costs_its_figures_and_no_training(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    class Listens(Watcher):
        lines: list[str] = []  # noqa: RUF012

        def said(self, line: str) -> None:
            self.lines.append(line)

    truth = Truth.read(manifest_folder("tiny"))
    whole = train(config(), tiny[1], truth)
    with_suspicion(monkeypatch, KeyError("no such thing"))
    found = train(config(), tiny[1], truth, Listens())
    (line,) = Listens.lines
    assert line.endswith("failed, its figures are missing: KeyError: 'no such thing'")
    pushed = [[any(name.startswith("val_pushed") for name in row) for row in one.history] for one in (whole, found)]
    assert pushed == [[False, True, True], [False] * 3]
    assert [row["loss"] for row in found.history] == [row["loss"] for row in whole.history]
    assert found.validation == whole.validation
    weights = found.task.towers.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in whole.task.towers.state_dict().items())


def test_an_audit_without_memory_fails_the_run_in_one_line(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    with_suspicion(monkeypatch, MemoryError())
    with pytest.raises(RunFailedError, match="the audit of epoch 1 failed: out of memory"):
        train(config(), tiny[1], Truth.read(manifest_folder("tiny")))


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut off", "ranks"])
def test_a_broken_file_of_similarities_is_told_in_one_line(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "similarities.npz"
    if content == "ranks":
        np.savez(path, i2t=np.arange(3))
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(NoDataError, match=r"similarities\.npz: [^\n]+$"):
        read_similarities(path)


def test_the_guide_of_another_split_is_that_of_the_training(tiny: Tiny) -> None:
    model = towers_for(tiny[1], config())
    data, other = (opened(tiny[1], split, config(), model) for split in ("train", "test"))
    extras_of = ExtrasOf([methods.get("gist")()], data, model).of(other)
    captions = torch.arange(4)
    guide = extras_of(methods.get("gist")(), captions, other.caption_rows[captions], captions).guide
    assert guide is not None
    assert isinstance(data.captions, Tensor)
    assert isinstance(other.captions, Tensor)
    assert torch.equal(guide.text, centred(other.captions, data.captions.mean(dim=0))[:4])
    truth = Truth.read(manifest_folder("tiny"))
    assert isinstance(exact(truth, other.split.image_rows, other.split.caption_rows), Exact)


# --- again


def test_a_record_is_audited_again_without_a_training(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    cell.run(config(method="fne"), Path("run"), *tiny, Watcher())
    before, arrays = records.read(Path("run")), read_similarities(Path("run/similarities.npz"))
    weights = {name: Path("run", name).read_bytes() for name in ("model.safetensors", "ranks.npz", "history.csv")}
    monkeypatch.setattr(loop, "train", None)
    done = bench("audit", "run")
    assert done.exit_code == 0, done.output
    assert f"false among what it pushed: i2t {before.audit['pushed_i2t']:.1%} [" in done.stderr
    again = records.read(Path("run"))
    assert again.model_dump() == before.model_dump()
    found = read_similarities(Path("run/similarities.npz"))
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name], equal_nan=True) for name in arrays)
    assert {name: Path("run", name).read_bytes() for name in weights} == weights


def test_other_thresholds_change_the_audit_and_nothing_else(tiny: Tiny) -> None:
    manifest, store = tiny
    forget_truth(manifest_folder("tiny"))
    rows = [(f"test{i}", f"test{k}#{i % 3}", (i + k) % 4 / 3, "crowd") for i in range(10) for k in range(10)]
    judged = Manifest("tiny", manifest.images, manifest.captions, table("judgements", rows))
    judged.write(manifest_folder("tiny"))
    store.info["manifest"] = judged.hash
    (store.folder / "features.json").write_text(json.dumps(store.info))
    cell.run(config(), Path("run"), judged, FeatureStore(store.folder, judged.hash), Watcher())
    before = records.read(Path("run"))
    assert bench("audit", "run", "--crowd-match", "0.9").exit_code == 0
    after = records.read(Path("run"))
    assert after.about.crowd_match == 0.9
    assert (after.config_hash, after.recipe_hash) == (before.config_hash, before.recipe_hash)
    assert after.audit["pushed_i2t_base"] < before.audit["pushed_i2t_base"]
    labelled = [name for name in before.metrics if not name.startswith("extended_")]
    assert {name: after.metrics[name] for name in labelled} == {name: before.metrics[name] for name in labelled}
    assert not any(integrity.faults(Path("run"), after))
    assert not any(key.endswith("_start") for key in after.audit)  # of towers that no record keeps


@pytest.mark.parametrize(
    "words, code, told", [(["nowhere"], 3, "no run.json"), (["run", "--crowd-match", "2"], 2, "2")]
)
def test_what_cannot_be_audited_is_told_in_one_line(
    tiny: Tiny, words: list[str], code: int, told: str, tmp_path: Path
) -> None:
    done = bench("audit", *words)
    assert done.exit_code == code
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_how_many_are_pushed_and_how_hard_they_are(tiny: Tiny) -> None:
    """Of two negatives pushed 3 : 1, and of an anchor that pushes none."""

    class Two(Method):
        def view_loss(self, view: View) -> Tensor:
            columns = view.similarity.masked_fill(view.positive, 2.0).argsort(dim=1)  # the two easiest come first
            pushed = view.similarity.gather(1, columns[:, :2]) @ torch.tensor([3.0, 1.0])
            return torch.where(torch.arange(len(view.anchors)) == 0, 0.0, pushed).mean()

    _, examination, known_pairs = examined(tiny, "hardest")
    found = audit(Two(), examination, known_pairs)
    gaps: dict[str, list[float]] = {"i2t": [], "t2i": []}
    for question, _, _ in examination.steps(Two()):
        view = question.view
        for row in range(1, len(view.anchors)):
            first, second = view.similarity[row].detach()[~view.positive[row]].sort().values[:2].tolist()
            gaps[view.direction].append((3 * first + second) / 4 - float(view.positive_similarity[row].detach()))
    for direction, one in found.items():
        figures = one.shares(direction)
        assert figures[f"effective_{direction}"] == pytest.approx(16 / 10)
        assert figures[f"hardness_{direction}"] == pytest.approx(sum(gaps[direction]) / len(gaps[direction]), abs=1e-5)
