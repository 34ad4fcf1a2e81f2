"""Every registered method keeps the contract of ``negbench.methods.base``; new files are tested by themselves."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from negbench import methods
from negbench.methods.base import (
    Candidates,
    Extras,
    Guide,
    Listwise,
    Memory,
    Method,
    Sampler,
    SettingError,
    draw,
    views,
)
from negbench.methods.registry import UnknownMethodError, summaries

NAMES = methods.names()
SAMPLERS = [name for name in NAMES if issubclass(methods.get(name), Sampler)]
PLAIN = [name for name in SAMPLERS if methods.get(name).view_loss is Sampler.view_loss]
TRIPLETS = [name for name in PLAIN if getattr(methods.get(name), "pair_loss", None) is Sampler.pair_loss]
LISTWISE = [name for name in NAMES if issubclass(methods.get(name), Listwise)]
NOTHING_TO_PUSH = [
    *(name for name in SAMPLERS if name != "tags"),  # which makes negatives of its own
    *("mean", "sum", "selhn", "info-nce", "debiased", "hcl", "fnc-elimination", "gist", "glofnd", "sacl"),
]
DRAW = {"random", "top-k", "softmax-sampled", "distance-weighted", "fne", "fne-paper", "fne-info-nce"}
"""Their random numbers come in the order of the parts."""
MakeExtras = Callable[[int, int, int], Extras]
"""Of B anchors and N candidates in D dimensions."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(rows: int, dim: int = 8, seed: int = 0) -> Tensor:
    return normalize(torch.randn(rows, dim, generator=generator(seed)), dim=1)


def sampler(name: str) -> Sampler:
    """A sampler that has seen enough pairs for all of its statistics."""
    made = methods.get(name)()
    assert isinstance(made, Sampler)
    for seed in range(40):
        similarity = 0.2 * torch.randn(16, 16, generator=generator(seed)) + 0.8 * torch.eye(16)
        made.observe(similarity, torch.arange(16))
    return made


def candidates(similarity: Tensor, anchor_ids: Tensor, candidate_ids: Tensor, seed: int = 0) -> Candidates:
    """Positive similarity is that of the first candidate with the anchor's id, or 0.5."""
    own = torch.where(anchor_ids[:, None] == candidate_ids[None, :], similarity, -torch.inf).amax(dim=1)
    own = torch.where(own > -torch.inf, own, 0.5)
    return Candidates.of(similarity.clone(), own, anchor_ids, candidate_ids, generator(seed), dimension=8)


@pytest.mark.parametrize("name", NAMES)
def test_has_one_line_summary_and_checked_defaults(name: str) -> None:
    assert 10 < len(summaries()[name]) < 120
    assert methods.get(name).Settings.of({}).changed() == {}
    assert isinstance(methods.get(name)(), Method)


@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    rows=st.integers(1, 6),
    columns=st.integers(2, 40),
    kind=st.sampled_from(["random", "constant", "extreme", "half"]),
)
def test_never_chooses_a_positive(name: str, data: st.DataObject, rows: int, columns: int, kind: str) -> None:
    ids = st.integers(0, 3)
    anchor_ids = torch.tensor(data.draw(st.lists(ids, min_size=rows, max_size=rows)))
    candidate_ids = torch.tensor(data.draw(st.lists(ids, min_size=columns, max_size=columns)))
    similarity = torch.rand(rows, columns, generator=generator(data.draw(st.integers(0, 99)))) * 2 - 1
    if kind == "constant":
        similarity = torch.full_like(similarity, 0.3)
    elif kind == "extreme":
        similarity = similarity.sign()
    elif kind == "half":
        similarity = similarity.half()
    index = sampler(name).choose(candidates(similarity, anchor_ids, candidate_ids))
    assert index.shape[0] == rows
    assert index.dim() == (1 if name in PLAIN or name == "tags" else 2)
    assert index.dtype == torch.int64
    assert ((index >= 0) & (index < columns)).all()
    for row in range(rows):
        if (candidate_ids != anchor_ids[row]).any():
            assert (candidate_ids[index[row]] != anchor_ids[row]).all()


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("value", [-1.0, -0.2, 0.0, 0.49, 0.9, 1.0])
def test_takes_the_only_negative(name: str, value: float) -> None:
    similarity = torch.tensor([[0.5, 0.5, value, 0.5]])
    index = sampler(name).choose(candidates(similarity, torch.tensor([7]), torch.tensor([7, 7, 1, 7])))
    assert set(index.flatten().tolist()) == {2}


@pytest.mark.parametrize("name", SAMPLERS)
def test_many_more_candidates_than_anchors(name: str) -> None:
    similarity = torch.rand(3, 5000, generator=generator()) * 2 - 1
    ids = torch.arange(5000) % 50
    index = sampler(name).choose(candidates(similarity, torch.tensor([0, 1, 2]), ids))
    assert (ids[index.view(3, -1)] != torch.tensor([[0], [1], [2]])).all()


@pytest.mark.parametrize("name", NOTHING_TO_PUSH)
def test_without_any_negative_the_loss_is_zero(name: str, extras: MakeExtras) -> None:
    method = methods.get(name)()
    image, text = unit(4).requires_grad_(), unit(4, seed=1).requires_grad_()
    loss = method.loss(image, text, torch.zeros(4, dtype=torch.int64), generator=generator(), extras=extras(4, 4, 8))
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert image.grad is not None
    assert (image.grad == 0).all()
    for index in method.chosen.values():
        assert (index == -1).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("with_memory", [False, True])
def test_loss_is_finite_and_reaches_both_sides(name: str, with_memory: bool, extras: MakeExtras) -> None:
    method = methods.get(name)()
    image, text = unit(8).requires_grad_(), unit(8, seed=1).requires_grad_()
    ids = torch.arange(8)
    memory = Memory(unit(40, seed=2), unit(40, seed=3), torch.cat([ids, torch.arange(32) + 5])) if with_memory else None
    loss = method.loss(image, text, ids, memory, generator(), extras(8, 40 if with_memory else 8, 8))
    torch.autograd.backward(loss)
    assert loss.shape == ()
    assert torch.isfinite(loss)
    for side in (image, text):
        assert side.grad is not None
        assert torch.isfinite(side.grad).all()
        assert side.grad.abs().sum() > 0


@pytest.mark.parametrize("name", TRIPLETS)
def test_loss_is_the_hinge_of_the_chosen_pairs(name: str) -> None:
    """Value and gradient equal the plain triplet loss, and no gradient flows through the choice."""
    method = sampler(name)
    image, text = unit(8).double().requires_grad_(), unit(8, seed=1).double().requires_grad_()
    loss = method.loss(image, text, torch.arange(8), generator=generator())
    got = torch.autograd.grad(loss, [image, text])
    margin = method.settings.margin
    expected = torch.zeros((), dtype=torch.float64)
    for row in range(8):
        i2t, t2i = int(method.chosen["i2t"][row]), int(method.chosen["t2i"][row])
        own = image[row] @ text[row]
        expected = expected + torch.relu(margin + image[row] @ text[i2t] - own) / 8
        expected = expected + torch.relu(margin + text[row] @ image[t2i] - own) / 8
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(got, torch.autograd.grad(expected, [image, text]))


@pytest.mark.parametrize("name", PLAIN)
def test_gradient_touches_only_chosen_candidates(name: str) -> None:
    memory_text = unit(30, seed=3).requires_grad_()
    method = sampler(name)
    image, text, ids = unit(4), unit(4, seed=1), torch.arange(4)
    memory = Memory(unit(30, seed=2), memory_text, torch.arange(30))
    torch.autograd.backward(method.loss(image, text, ids, memory, generator()))
    assert memory_text.grad is not None
    touched = set(memory_text.grad.abs().sum(dim=1).nonzero()[:, 0].tolist())
    assert touched <= set(method.chosen["i2t"].tolist()) | set(range(4))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DRAW])
@pytest.mark.parametrize("with_memory", [False, True])
def test_parts_and_blocks_of_a_batch_change_nothing(
    name: str, with_memory: bool, extras: MakeExtras, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss, gradients of both sides and of what is learnt, and the choices, one anchor at a time or all at once."""

    def step() -> list[Tensor]:
        image, text, ids = (*(unit(7, seed=seed).double().requires_grad_() for seed in (0, 1)), torch.arange(7))
        memory = Memory(unit(20, seed=2).double(), unit(20, seed=3).double(), torch.arange(20)) if with_memory else None
        method = methods.get(name)()
        loss = method.loss(image, text, ids, memory, generator(), extras(7, 20 if with_memory else 7, 8))
        torch.autograd.backward(loss)
        learnt = [parameter.grad for parameter in method.parameters() if parameter.grad is not None]
        assert image.grad is not None
        assert text.grad is not None
        return [loss.detach(), image.grad, text.grad, *learnt, *method.chosen.values()]

    whole = step()
    for limit in ("CHUNK", "LISTWISE_CHUNK"):
        monkeypatch.setattr(f"negbench.methods.interface.view.{limit}", 1)
    monkeypatch.setattr("negbench.methods.interface.view.BLOCK", 3)
    torch.testing.assert_close(step(), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LISTWISE)
@pytest.mark.parametrize("with_memory", [False, True])
def test_gradient_is_that_of_the_whole_graph(name: str, with_memory: bool, extras: MakeExtras) -> None:
    """The loss makes its gradient by blocks of 64 anchors; plain autograd over both directions gives the same."""

    def step(plain: bool) -> list[Tensor]:
        image, text, ids = unit(70).requires_grad_(), unit(70, seed=1).requires_grad_(), torch.arange(70)
        memory = Memory(unit(90, seed=2), unit(90, seed=3), torch.arange(90)) if with_memory else None
        method, more = methods.get(name)(), extras(70, 90 if with_memory else 70, 8)
        if plain:
            method.begin(image, text, ids, more)
            sides = views(image, text, ids, memory, generator(), more)
            loss = torch.stack([method.view_loss(view) for view in sides]).sum()
        else:
            loss = method.loss(image, text, ids, memory, generator(), more)
        torch.autograd.backward(loss)
        assert image.grad is not None
        assert text.grad is not None
        return [loss.detach(), image.grad, text.grad, *(w.grad for w in method.parameters() if w.grad is not None)]

    torch.testing.assert_close(step(plain=False), step(plain=True), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_same_generator_same_loss_and_state_round_trip(name: str, extras: MakeExtras) -> None:
    image, text, ids = unit(16), unit(16, seed=1), torch.arange(16)

    def run(method: Method, times: int) -> list[float]:
        stream = generator(5)
        more = extras(16, 16, 8)
        return [method.loss(image, text, ids, generator=stream, extras=more).item() for _ in range(times)]

    first, second = methods.get(name)(), methods.get(name)()
    assert run(first, 3) == run(second, 3)
    restored = methods.get(name)()
    restored.load_state_dict(first.state_dict())
    assert run(restored, 2) == run(first, 2)


@pytest.mark.parametrize("name", NAMES)
def test_report_is_numbers(name: str, extras: MakeExtras) -> None:
    method = methods.get(name)()
    method.start_epoch()
    method.loss(unit(8), unit(8, seed=1), torch.arange(8), generator=generator(), extras=extras(8, 8, 8))
    assert all(isinstance(value, float) for value in method.report().values())


@pytest.mark.parametrize("name", ["hardest", "semi-hard", "positive-aware"])
def test_deterministic_samplers_follow_a_permutation_of_the_candidates(name: str) -> None:
    similarity, ids = torch.rand(5, 30, generator=generator()), torch.arange(30)
    order = torch.randperm(30, generator=generator(1))
    plain = sampler(name).choose(candidates(similarity, torch.arange(5), ids))
    moved = sampler(name).choose(candidates(similarity[:, order], torch.arange(5), ids[order]))
    assert (order[moved] == plain).all()


def test_hardest_is_the_largest_negative() -> None:
    similarity = torch.tensor([[0.9, 0.1, 0.8], [0.3, 0.2, 0.4]])
    index = sampler("hardest").choose(candidates(similarity, torch.tensor([0, 1]), torch.tensor([0, 1, 2])))
    assert index.tolist() == [2, 2]


def test_semi_hard_takes_the_hardest_below_the_positive_and_counts_fallbacks() -> None:
    method = methods.get("semi-hard")()
    assert isinstance(method, Sampler)
    similarity = torch.tensor([[0.5, 0.45, 0.6, 0.2], [0.9, 0.5, 0.7, 0.8], [0.1, 0.2, 0.5, 0.05]])
    ids = torch.tensor([0, 1, 2, 3])
    index = method.choose(candidates(similarity, torch.tensor([0, 1, 2]), ids))
    # below 0.5 within 0.2: 0.45; all negatives above the positive: the easiest; all below the band: the easiest
    assert index.tolist() == [1, 2, 3]
    assert method.report() == {"fallback": pytest.approx(2 / 3)}
    method.start_epoch()
    assert method.report() == {"fallback": 0.0}
    hardest = methods.get("semi-hard")(fallback="hardest")
    assert isinstance(hardest, Sampler)
    assert hardest.choose(candidates(similarity, torch.tensor([0, 1, 2]), ids)).tolist() == [1, 0, 1]


def test_draw_follows_the_weights() -> None:
    """Chi-square of 20,000 draws against the weights, over several blocks of columns."""
    weights = torch.zeros(1, 600)
    weights[0, [3, 255, 256, 511, 599]] = torch.tensor([1.0, 2.0, 3.0, 0.5, 1.5])
    drawn = draw(weights.expand(20000, -1), generator(3))
    counts = torch.bincount(drawn, minlength=600).double()
    assert counts[weights[0] == 0].sum() == 0
    expected = weights[0].double() / weights.sum() * 20000
    kept = expected > 0
    chi_square = ((counts - expected)[kept].square() / expected[kept]).sum()
    assert chi_square < 18.47  # 0.999 quantile with 4 degrees of freedom


def test_random_is_uniform_over_negatives() -> None:
    similarity, ids = torch.rand(1, 10).expand(20000, -1), torch.arange(10)
    index = sampler("random").choose(candidates(similarity, torch.full((20000,), 4), ids))
    counts = torch.bincount(index, minlength=10).double()
    assert counts[4] == 0
    expected = 20000 / 9
    assert ((counts - expected).square() / expected).sum() - expected < 26.12  # 8 degrees of freedom


def test_unknown_names_and_settings_are_told() -> None:
    with pytest.raises(UnknownMethodError, match="did you mean 'hardest'"):
        methods.get("hardst")
    with pytest.raises(SettingError, match="unknown setting 'tau_flase'; did you mean 'tau_false'"):
        methods.get("fne")(tau_flase=1)
    with pytest.raises(SettingError, match=r"prior: 0\.5 must be at least"):
        methods.get("fne")(prior=0.5)
    with pytest.raises(SettingError, match="bell: 'right' is none of both, left"):
        methods.get("fne")(bell="right")
    with pytest.raises(SettingError, match=r"minimum_count: 2\.5 is no int"):
        methods.get("fne")(minimum_count=2.5)
    with pytest.raises(ValueError, match="differ in length: 2, 3, 3"):
        methods.get("hardest")().loss(unit(2), unit(3), torch.arange(3))


IDS = torch.arange(3)
LIST: Any = IDS.tolist()
ARRAY: Any = IDS.numpy()
GUIDE = Guide(unit(3, 6), unit(3, 5), unit(3, 5)[:, None])
NO_TENSORS: dict[str, tuple[dict[str, Any], str]] = {
    "ids as a list": ({"ids": [0, 1, 2]}, "^ids: expected a tensor, got list; torch.as_tensor makes one$"),
    "ids as an array": ({"ids": IDS.numpy()}, "^ids: expected a tensor, got ndarray"),
    "image as an array": ({"image": unit(3).numpy()}, "^image: expected a tensor, got ndarray"),
    "text as a list": ({"text": unit(3).tolist()}, "^text: expected a tensor, got list"),
    "memory as a tuple": ({"memory": (unit(3), unit(3), IDS)}, "^memory: expected Memory, got tuple$"),
    "ids of the memory as a list": ({"memory": Memory(unit(3), unit(3), LIST)}, "^memory.ids: .* got list"),
    "a seed": ({"generator": 5}, "^generator: expected Generator, got int$"),
    "extras as a mapping": ({"extras": {"captions": IDS}}, "^extras: expected Extras, got dict$"),
    "captions as a list": ({"extras": Extras(LIST)}, "^extras.captions: expected a tensor, got list"),
    "guide as an array": (
        {"extras": Extras(guide=replace(GUIDE, text=ARRAY))},
        "^extras.guide.text: expected a tensor, got ndarray",
    ),
    "known pairs as a list": (
        {"extras": Extras(known={"i2t": LIST, "t2i": LIST})},
        r"^extras.known\[i2t\]: expected a tensor, got list",
    ),
}


@pytest.mark.parametrize("case", NO_TENSORS)
def test_lists_and_arrays_are_told(case: str) -> None:
    changes, message = NO_TENSORS[case]
    batch = {"image": unit(3), "text": unit(3, seed=1), "ids": IDS} | changes
    for name in ("hardest", "info-nce", "glofnd", "gist"):
        with pytest.raises(ValueError, match=message):
            methods.get(name)().loss(**batch)
    with pytest.raises(ValueError, match=message):
        list(views(**batch))


def test_candidates_are_made_of_tensors() -> None:
    with pytest.raises(ValueError, match=r"^candidate_ids: expected a tensor, got list"):
        Candidates.of(torch.eye(3), torch.ones(3), IDS, LIST)
    with pytest.raises(ValueError, match=r"^positive: expected a tensor, got ndarray"):
        Candidates.masked(torch.eye(3), torch.ones(3), ARRAY)


def test_known_pairs_above_the_partner_alone_can_be_positives() -> None:
    stream = torch.Generator().manual_seed(0)
    image, text = (normalize(torch.randn(6, 4, generator=stream), dim=1) for _ in range(2))
    ids, similarity = torch.arange(6), image @ text.T
    known = torch.rand(6, 6, generator=stream) < 0.5
    for above in (False, True):
        extras = Extras(known={"i2t": known, "t2i": known.T}, known_above=above)
        i2t, t2i = views(image, text, ids, None, None, extras)
        for row in range(6):
            for column in range(6):
                own = row == column
                harder = similarity[row, column] > similarity[row, row]
                assert bool(i2t.positive[row, column]) == (own or bool(known[row, column] and (harder or not above)))
                harder = similarity[row, column] > similarity[column, column]
                assert bool(t2i.positive[column, row]) == (own or bool(known[row, column] and (harder or not above)))
