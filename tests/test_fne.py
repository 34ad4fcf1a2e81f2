"""FNE against a scalar transcription of its formulas, in extreme and degenerate places too."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.base import Candidates
from methods.fne import FNE, Moments


def scalar_posterior(s: float, mu_p: float, sd_p: float, mu_n: float, sd_n: float, prior: float) -> float:
    log_p = -0.5 * ((s - mu_p) / sd_p) ** 2 - math.log(sd_p)
    log_n = -0.5 * ((s - mu_n) / sd_n) ** 2 - math.log(sd_n)
    logit = log_p - log_n - math.log(prior - 1)
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


def scalar_weight(method: FNE, s: float, own: float) -> float:
    """Section by section as the paper's code has it, one candidate at a time."""
    options = method.settings
    mu_p, mu_n = method.positive.mean.item(), method.negative.mean.item()
    sd_p, sd_n = method.positive.std.item(), method.negative.std.item()
    distance = s - own
    if options.bell == "left":
        distance = min(distance, 0.0)
    weight = math.exp(-options.tau_close * distance**2)
    if method.positive.count.item() > options.minimum_count:
        p = scalar_posterior(s, mu_p, sd_p, mu_n, sd_n, options.prior)
        if p > options.threshold:
            weight = math.exp(-options.tau_false * p) if options.false_weight == "decay" else 1 - p
    cut = {"global": mu_p - options.cut_offset, "anchor": own - options.cut_offset, "none": -math.inf}[options.cut]
    if options.cut == "global" and method.positive.count.item() == 0:
        cut = -math.inf
    return options.cut_weight if s <= cut else weight


def with_statistics(positive: list[float], negative: list[float], **changes: object) -> FNE:
    method = FNE(**changes)
    for moments, values in ((method.positive, positive), (method.negative, negative)):
        numbers = torch.tensor(values, dtype=torch.float64)
        moments.update(numbers, torch.ones(len(values), dtype=torch.bool))
    return method


similarities = st.floats(-1, 1)


@settings(max_examples=300, deadline=None)
@given(
    positive=st.lists(similarities, min_size=0, max_size=8),
    negative=st.lists(similarities, min_size=0, max_size=8),
    row=st.lists(similarities, min_size=1, max_size=8),
    own=similarities,
    changes=st.fixed_dictionaries(
        {
            "tau_close": st.floats(0, 200),
            "tau_false": st.floats(0, 20),
            "prior": st.floats(1.5, 1e6),
            "false_weight": st.sampled_from(["decay", "probability"]),
            "bell": st.sampled_from(["both", "left"]),
            "cut": st.sampled_from(["global", "anchor", "none"]),
            "cut_offset": st.floats(0, 1),
            "cut_weight": st.sampled_from([0.0, 0.01, 1.0]),
            "minimum_count": st.sampled_from([2, 5]),
        }
    ),
)
def test_weights_equal_the_scalar_form(
    positive: list[float], negative: list[float], row: list[float], own: float, changes: dict[str, object]
) -> None:
    method = with_statistics(positive, negative, **changes)
    got = method.weigh(torch.tensor([row], dtype=torch.float64), torch.tensor([own], dtype=torch.float64)).weights[0]
    for value, weight in zip(row, got.tolist(), strict=True):
        expected = scalar_weight(method, value, own)
        posterior = scalar_posterior(
            value,
            method.positive.mean.item(),
            method.positive.std.item(),
            method.negative.mean.item(),
            method.negative.std.item(),
            method.settings.prior,
        )
        if abs(posterior - method.settings.threshold) > 1e-9:  # on the threshold either branch is right
            assert weight == pytest.approx(expected, rel=1e-9, abs=1e-10)


def test_published_weights() -> None:
    """The table of weights for (mu+, sigma+; mu-, sigma-) = (.48, .08; .13, .08), prior 10000, tau 0.5."""
    method = with_statistics([0.48], [0.13])
    for moments in (method.positive, method.negative):
        moments.count.fill_(1001)
        moments.squares.fill_(0.08**2 * 1000)
    s = torch.tensor([[0.279, 0.33, 0.38, 0.43, 0.48, 0.53, 0.58, 0.68]])
    expected = [0.0, 0.989, 0.997, 0.958, 0.745, 0.620, 0.607, 0.6065]
    got = method.weigh(s, torch.tensor([0.48])).weights[0]
    assert got.tolist() == pytest.approx(expected, abs=1.1e-3)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_posterior_is_right_sixty_sigma_out(kind: torch.dtype) -> None:
    """Plain densities give 0 / 0 there."""
    method = with_statistics([0.40], [0.20])
    for moments, sd in ((method.positive, 0.01), (method.negative, 0.01)):
        moments.count.fill_(1001)
        moments.squares.fill_(sd**2 * 1000)
    posterior = method.posterior(torch.tensor([[1.0, 0.3, -0.6]], dtype=kind))[0]
    assert posterior[0] == 1
    assert posterior[2] == 0
    expected = scalar_posterior(0.3, 0.40, 0.01, 0.20, 0.01, 10000)
    assert posterior[1].item() == pytest.approx(expected, rel=2e-3)


def test_zero_variance_gives_finite_weights() -> None:
    method = with_statistics([0.5] * 300, [0.2] * 600)
    weights = method.weigh(torch.linspace(-1, 1, 21)[None], torch.tensor([0.5])).weights
    assert torch.isfinite(weights).all()
    assert ((weights >= 0) & (weights <= 1)).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(-1, 1), min_size=0, max_size=6), min_size=1, max_size=6), st.randoms())
def test_moments_merge_like_one_pass(parts: list[list[float]], random: object) -> None:
    moments = Moments()
    kept: list[float] = []
    for part in parts:
        keep = [index % 3 != 1 for index in range(len(part))]
        moments.update(torch.tensor(part), torch.tensor(keep, dtype=torch.bool))
        kept += torch.tensor([value for value, chosen in zip(part, keep, strict=True) if chosen]).tolist()
    assert moments.count.item() == len(kept)
    if len(kept) >= 2:
        values = torch.tensor(kept, dtype=torch.float64)
        assert moments.mean.item() == pytest.approx(values.mean().item(), abs=1e-12)
        assert moments.std.item() == pytest.approx(max(values.std().item(), 1e-6), abs=1e-9)


def test_statistics_come_from_pairs_that_rank_first_both_ways() -> None:
    similarity = torch.tensor([[0.9, 0.1, 0.3], [0.2, 0.5, 0.6], [0.0, 0.4, 0.7]])
    method = FNE()
    method.observe(similarity, torch.arange(3))
    # pairs 0 and 2 rank first in row and column; pair 1 is beaten by column 2
    assert method.positive.count.item() == 2
    assert method.positive.mean.item() == pytest.approx(0.8)
    # hardest negatives: rows 0.3 and 0.4, columns 0.2 and 0.6
    assert method.negative.count.item() == 4
    assert method.negative.mean.item() == pytest.approx((0.3 + 0.4 + 0.2 + 0.6) / 4)
    everything = FNE(pairs="all")
    everything.observe(similarity, torch.arange(3))
    assert everything.positive.count.item() == 3


def test_same_image_captions_are_no_hard_negatives() -> None:
    similarity = torch.tensor([[0.9, 0.95, 0.1], [0.95, 0.9, 0.2], [0.1, 0.2, 0.8]])
    method = FNE()
    method.observe(similarity, torch.tensor([4, 4, 5]))
    assert method.positive.count.item() == 3
    assert method.negative.mean.item() == pytest.approx((0.1 + 0.2 + 0.2) * 2 / 6)


def test_statistics_reset_each_epoch_or_run_on() -> None:
    for statistics, count in (("epoch", 0), ("running", 2)):
        method = FNE(statistics=statistics)
        method.observe(torch.eye(2), torch.arange(2))
        method.start_epoch()
        assert method.positive.count.item() == count


def test_all_cut_falls_back_to_the_hardest() -> None:
    method = with_statistics([0.9, 0.91], [0.1, 0.12])
    similarity = torch.tensor([[0.9, 0.3, 0.5, 0.4]])
    seen = Candidates.of(similarity, torch.tensor([0.9]), torch.tensor([0]), torch.arange(4))
    assert method.choose(seen).tolist() == [2]


def test_cut_and_posterior_shape_the_draw() -> None:
    """Of two survivors, the likely false negative is drawn less often, by the ratio of the weights."""
    method = with_statistics([0.48], [0.13])
    for moments in (method.positive, method.negative):
        moments.count.fill_(1001)
        moments.squares.fill_(0.08**2 * 1000)
    similarity = torch.tensor([0.48, 0.38, 0.60, 0.1]).expand(4000, 4).clone()
    stream = torch.Generator().manual_seed(0)
    own = torch.full((4000,), 0.48)
    seen = Candidates.of(similarity, own, torch.zeros(4000, dtype=torch.int64), torch.arange(4), stream)
    counts = torch.bincount(method.choose(seen), minlength=4)
    assert counts[0] == 0
    assert counts[3] == 0
    assert counts[2].item() / counts[1].item() == pytest.approx(0.6065 / 0.997, rel=0.08)
