"""The audit of false negatives: what is pushed, what is suspected, what is in order; against slow, plain versions."""

import copy
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from negbench import methods
from negbench.benchmark.audit.figures import detection
from negbench.benchmark.audit.pushes import audit, push
from negbench.benchmark.evaluation.known_pairs import MATCH
from negbench.benchmark.evaluation.order import order_accuracy
from negbench.benchmark.evaluation.shares import share
from negbench.benchmark.evaluation.similarities import BINS, histograms
from negbench.methods.base import Method, Sampler, View, views
from negbench.methods.fne_info_nce import FNEInfoNCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

from audited import All, Tiny, examined, gallery_of

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
