"""FNE against a scalar transcription of its formulas, in extreme and degenerate places too."""

import math
import statistics
import sys
from dataclasses import dataclass
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from negbench.methods.base import Candidates
from negbench.methods.fne import FNE, FNESettings, Moments, OfficialMoments


@dataclass(frozen=True)
class Normal:
    """A stream's count, mean and standard deviation, in plain Python."""

    count: int
    mean: float
    std: float


def scalar_moments(values: list[float]) -> Normal:
    mean = statistics.fmean(values) if values else 0.0
    std = statistics.stdev(values) if len(values) > 1 else 0.0
    return Normal(len(values), mean, max(std, 1e-6))


def scalar_logit(s: float, positive: Normal, negative: Normal, prior: float) -> float:
    log_p = -0.5 * ((s - positive.mean) / positive.std) ** 2 - math.log(positive.std)
    log_n = -0.5 * ((s - negative.mean) / negative.std) ** 2 - math.log(negative.std)
    return log_p - log_n - math.log(prior - 1)


def rounding(s: float, positive: Normal, negative: Normal) -> float:
    """How far rounding may move the logit: no more than 1e-10 anywhere but many sigma away from either mean."""
    error = 1.0
    for mean, std in ((positive.mean, positive.std), (negative.mean, negative.std)):
        z = abs(s - mean) / std
        error += z * z + (z + 1) * (abs(s) + abs(mean)) / std
    return 32 * sys.float_info.epsilon * error


def sigmoid(logit: float) -> float:
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return math.exp(logit) / (1 + math.exp(logit)) if logit > -700 else 0.0


def scalar_posterior(s: float, mu_p: float, sd_p: float, mu_n: float, sd_n: float, prior: float) -> float:
    return sigmoid(scalar_logit(s, Normal(0, mu_p, sd_p), Normal(0, mu_n, sd_n), prior))


def scalar_weights(options: FNESettings, s: float, own: float, positive: Normal, negative: Normal) -> list[float]:
    """Section by section as the paper's code has it, one candidate at a time.

    The first is the weight; others are those that rounding could give: on the threshold and on the cut either branch
    is right, and far out in the tails of very narrow distributions the posterior itself is uncertain.
    """
    distance = s - own
    if options.bell == "left":
        distance = min(distance, 0.0)
    close = math.exp(-options.tau_close * distance**2)
    weights = [close]
    if positive.count > options.minimum_count:
        logit, error = scalar_logit(s, positive, negative, options.prior), rounding(s, positive, negative)
        posteriors = [sigmoid(value) for value in (logit, logit - error, logit + error)]
        false = [math.exp(-options.tau_false * p) if options.false_weight == "decay" else 1 - p for p in posteriors]
        weights = [w if p > options.threshold else close for p, w in zip(posteriors, false, strict=True)]
        if abs(posteriors[0] - options.threshold) < 1e-12:
            weights += [close, false[0]]
    cut = {
        "global": positive.mean - options.cut_offset if positive.count else -math.inf,
        "anchor": own - options.cut_offset,
        "none": -math.inf,
    }[options.cut]
    if abs(s - cut) < 1e-14:
        return [*weights, options.cut_weight]
    return [options.cut_weight] if s <= cut else weights


def with_statistics(positive: list[float], negative: list[float], **changes: object) -> FNE:
    method = FNE(**changes)
    for moments, values in ((method.positive, positive), (method.negative, negative)):
        moments.update(torch.tensor(values, dtype=torch.float64), torch.ones(len(values), dtype=torch.bool))
    return method


similarities = st.floats(-1, 1)
streams = st.one_of(
    st.lists(similarities, min_size=0, max_size=8),
    st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=8),
    st.builds(lambda value, count: [value] * count, similarities, st.integers(1, 9)),  # no variance
    st.builds(  # hardly any
        lambda value, steps: [value + 1e-7 * step for step in steps],
        st.floats(-0.9, 0.9),
        st.lists(st.integers(-20, 20), min_size=3, max_size=9),
    ),
)
weighings = st.fixed_dictionaries(
    {
        "tau_close": st.floats(0, 200),
        "tau_false": st.floats(0, 20),
        "prior": st.floats(1.5, 1e6),
        "threshold": st.sampled_from([0.0, 0.001, 0.5, 1.0]),
        "false_weight": st.sampled_from(["decay", "probability"]),
        "bell": st.sampled_from(["both", "left"]),
        "cut": st.sampled_from(["global", "anchor", "none"]),
        "cut_offset": st.floats(0, 1),
        "cut_weight": st.sampled_from([0.0, 0.01, 1.0]),
        "minimum_count": st.sampled_from([2, 5]),
    }
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    positive=streams,
    negative=streams,
    row=st.lists(st.one_of(similarities, st.sampled_from([-1.0, 1.0])), min_size=1, max_size=8),
    own=st.one_of(similarities, st.sampled_from([-1.0, 1.0])),
    changes=weighings,
)
def test_weights_equal_the_scalar_form(
    positive: list[float], negative: list[float], row: list[float], own: float, changes: dict[str, object]
) -> None:
    method = with_statistics(positive, negative, **changes)
    near = [*row, own, method.positive.mean.item(), method.negative.mean.item()]  # where much happens
    masked = torch.tensor([[*near, -math.inf]], dtype=torch.float64)
    got = method.weigh(masked, torch.tensor([own], dtype=torch.float64)).weights[0].tolist()
    assert got.pop() == 0  # a positive
    for value, weight in zip(near, got, strict=True):
        options = scalar_weights(method.settings, value, own, scalar_moments(positive), scalar_moments(negative))
        close = any(abs(weight - option) <= 1e-10 for option in options)
        assert close or (len(options) > 1 and min(options) <= weight <= max(options)), (weight, options)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    centres=st.tuples(st.floats(-0.5, 0.9), st.floats(-0.5, 0.9)),
    spread=st.tuples(st.floats(0.02, 0.3), st.floats(0.02, 0.3)),
    row=st.lists(similarities, min_size=1, max_size=8),
    own=similarities,
    changes=weighings,
    seed=st.integers(0, 99),
)
def test_weights_of_usual_statistics_equal_the_scalar_form(
    centres: tuple[float, float],
    spread: tuple[float, float],
    row: list[float],
    own: float,
    changes: dict[str, object],
    seed: int,
) -> None:
    """To 1e-10 without allowance for rounding, but on the threshold and the cut."""
    random = Random(seed)
    positive, negative = ([random.gauss(*form) for _ in range(30)] for form in zip(centres, spread, strict=True))
    method = with_statistics(positive, negative, **changes)
    normals = scalar_moments(positive), scalar_moments(negative)
    got = method.weigh(torch.tensor([row], dtype=torch.float64), torch.tensor([own], dtype=torch.float64)).weights[0]
    for value, weight in zip(row, got.tolist(), strict=True):
        posterior = sigmoid(scalar_logit(value, *normals, method.settings.prior))
        options = scalar_weights(method.settings, value, own, *normals)
        if abs(posterior - method.settings.threshold) > 1e-9 and len(options) <= 3:
            assert weight == pytest.approx(options[0], rel=0, abs=1e-10)


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


@settings(max_examples=50, deadline=None, derandomize=True)
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
    for kind, count in (("epoch", 0), ("running", 2)):
        method = FNE(statistics=kind)
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


class Official:
    """The running form of the authors' code, a value at a time."""

    def __init__(self) -> None:
        self.count = 0
        self.total = self.mean = self.squares = 0.0

    def update(self, values: list[float]) -> None:
        for value in values:
            self.total += value
            self.count += 1
        self.mean = self.total / max(self.count, 1)
        for value in values:
            self.squares += (value - self.mean) * (value - self.mean)

    def equals(self, moments: Moments) -> bool:
        """Bit for bit; torch's square root may be off by the last one."""
        std = max(math.sqrt(self.squares / max(self.count - 1, 1)), 1e-6)
        sums = [value.item() for value in (moments.count, moments.mean, moments.squares)]
        return [self.count, self.mean, self.squares] == sums and math.isclose(moments.std.item(), std, rel_tol=4e-16)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(
        st.lists(st.tuples(st.one_of(similarities, st.just(0.1)), st.booleans()), min_size=1, max_size=40), max_size=6
    )
)
def test_official_moments_are_the_authors_loop(parts: list[list[tuple[float, bool]]]) -> None:
    moments, official = OfficialMoments(), Official()
    for part in parts:
        values, keep = zip(*part, strict=True)
        moments.update(torch.tensor(values, dtype=torch.float64), torch.tensor(keep))
        official.update([value for value, kept in part if kept])
        assert official.equals(moments)


@pytest.mark.parametrize("pairs", ["mutual", "all"])
@settings(max_examples=50, deadline=None, derandomize=True)
@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4), kinds=st.integers(1, 20), seed=st.integers(0, 999))
def test_official_statistics_are_the_authors_loop(pairs: str, sizes: list[int], kinds: int, seed: int) -> None:
    random = Random(seed)
    method, positive, negative = FNE(moments="official", pairs=pairs), Official(), Official()
    for size in sizes:
        ids = [random.randrange(kinds) for _ in range(size)]
        rows = [[random.uniform(-1, 0.8) + 0.5 * (i == j) for j in range(size)] for i in range(size)]
        method.observe(torch.tensor(rows, dtype=torch.float64), torch.tensor(ids))
        own, hardest = [], []
        for i in range(size):
            others = [j for j in range(size) if ids[j] != ids[i]]
            if not others:
                continue
            text, image = max(rows[i][j] for j in others), max(rows[j][i] for j in others)
            if pairs == "all" or rows[i][i] > max(text, image):
                own.append(rows[i][i])
                hardest += [text, image]
        positive.update(own)
        negative.update(hardest)
        assert positive.equals(method.positive)
        assert negative.equals(method.negative)


def test_official_and_exact_variances_differ_where_the_mean_drifts() -> None:
    exact, official = Moments(), OfficialMoments()
    values = torch.linspace(0, 0.9, 40, dtype=torch.float64)
    for part in torch.split(values, 10):
        for moments in (exact, official):
            moments.update(part, torch.ones(10, dtype=torch.bool))
    assert exact.mean.item() == pytest.approx(official.mean.item(), abs=1e-15)
    assert exact.std.item() == pytest.approx(values.std().item(), rel=1e-12)
    assert official.std.item() < 0.9 * exact.std.item()  # each batch lies near the mean that it has just moved
    once = OfficialMoments()  # the mean does not drift within a batch
    once.update(values, torch.ones(40, dtype=torch.bool))
    assert once.std.item() == pytest.approx(values.std().item(), rel=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99, 1.0])
def test_forgetting_weighs_older_steps_less(share: float) -> None:
    """Exact moments are those of all values, each weighing ``share`` to the power of its age in steps."""
    random = Random(1)
    method = FNE(statistics="forget", forgetting=share, pairs="all")
    steps: list[list[float]] = []
    for step in range(12):
        size = random.randrange(2, 7)
        rows = [[random.uniform(-1, 1) for _ in range(size)] for _ in range(size)]
        ids = torch.zeros(size) if step == 5 else torch.arange(size)  # a step without a negative: nothing to see
        method.observe(torch.tensor(rows, dtype=torch.float64), ids.long())
        steps.append([] if step == 5 else [rows[i][i] for i in range(size)])
        weighed = [(share**age, value) for age, values in enumerate(reversed(steps)) for value in values]
        count = math.fsum(weight for weight, _ in weighed)
        assert method.positive.count.item() == pytest.approx(count, rel=1e-12, abs=1e-12)
        if count > 1:
            mean = math.fsum(weight * value for weight, value in weighed) / count
            squares = math.fsum(weight * (value - mean) ** 2 for weight, value in weighed)
            assert method.positive.mean.item() == pytest.approx(mean, abs=1e-12)
            assert method.positive.std.item() == pytest.approx(math.sqrt(squares / (count - 1)), rel=1e-9)
        method.start_epoch()  # they run on


def test_official_statistics_forget_too() -> None:
    method = FNE(statistics="forget", forgetting=0.5, moments="official", pairs="all")
    for own in (0.2, 0.8):
        method.observe(torch.tensor([[own, 0.1], [0.1, own]], dtype=torch.float64), torch.arange(2))
    assert method.positive.count.item() == 3  # two halves and two
    mean = (0.5 * 0.4 + 1.6) / 3
    assert method.positive.mean.item() == pytest.approx(mean, abs=1e-12)
    assert method.positive.squares.item() == pytest.approx(2 * (0.8 - mean) ** 2, abs=1e-12)


def scene(columns: int, **changes: object) -> tuple[FNE, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A method with statistics, similarities ``[3, columns]`` in float64, positive similarities, mask of positives.

    Most candidates are easy, and whole blocks of them; some are likely false negatives.
    """
    random = Random(columns)
    positive, negative = ([random.gauss(*form) for _ in range(300)] for form in ((0.48, 0.08), (0.13, 0.08)))
    method = with_statistics(positive, negative, **changes)
    stream = torch.Generator().manual_seed(columns)
    similarity = 0.1 + 0.1 * torch.randn(3, columns, generator=stream, dtype=torch.float64)
    similarity[:, 256:512].clamp_max_(0.2)  # a block without a survivor
    mask = torch.zeros(3, columns, dtype=torch.bool)
    for row in range(3):
        spots = torch.randperm(columns, generator=stream)[:24]
        spots = spots[(spots < 256) | (spots >= 512)]
        similarity[row, spots] = torch.linspace(0.3, 0.7, len(spots), dtype=torch.float64)
        mask[row, spots[::5]] = True
        mask[row, min(columns, 257) - 1 - row] = True
    return method, similarity, torch.tensor([0.5, 0.45, 0.6], dtype=torch.float64), mask


def seen(similarity: torch.Tensor, own: torch.Tensor, mask: torch.Tensor, seed: int = 0) -> Candidates:
    return Candidates.masked(similarity.clone(), own, mask, torch.Generator().manual_seed(seed))


def p_value(counts: torch.Tensor, weights: torch.Tensor) -> float:
    """Of Pearson's chi-square test that ``counts`` are draws by ``weights``; cells of few expected draws as one."""
    counts, expected = counts.double(), weights.double() / weights.double().sum() * counts.sum()
    assert counts[weights == 0].sum() == 0
    large = expected >= 5
    counts, expected = (torch.cat([cells[large], cells[~large].sum()[None]]) for cells in (counts, expected))
    cells = expected > 0
    statistic = ((counts - expected).square() / expected)[cells].sum()
    freedom = statistic.new_tensor(float(cells.sum()) - 1)
    return float(torch.special.gammaincc(freedom / 2, statistic / 2))


SCENES = pytest.mark.parametrize("columns", [100, 700, 1024])
EASY = pytest.mark.parametrize("easy", [0.0, 0.01])


@SCENES
@EASY
def test_draws_follow_the_dense_weights_over_many_blocks(columns: int, easy: float) -> None:
    method, similarity, own, mask = scene(columns, cut_weight=easy, tau_close=20.0)
    dense = method.weigh(similarity.masked_fill(mask, -math.inf), own[:, None]).weights
    rows = torch.arange(3).repeat(10)
    draws = method.sample(seen(similarity[rows], own[rows], mask[rows]), 1000)
    assert draws.shape == (30, 1000)
    for row in range(3):
        counts = torch.bincount(draws[rows == row].flatten(), minlength=columns)
        assert p_value(counts, dense[row]) > 1e-3
        assert (counts[mask[row]] == 0).all()
        rows_of_one = torch.full((2000,), row)
        chosen = method.choose(seen(similarity[rows_of_one], own[rows_of_one], mask[rows_of_one], seed=row))
        assert p_value(torch.bincount(chosen, minlength=columns), dense[row]) > 1e-3


@SCENES
@EASY
@pytest.mark.parametrize("cut", ["global", "anchor", "none"])
def test_report_tells_what_a_dense_computation_finds(columns: int, easy: float, cut: str) -> None:
    method, similarity, own, mask = scene(columns, cut_weight=easy, cut=cut, tau_close=20.0)
    method.choose(seen(similarity, own, mask))
    positive, negative = (
        Normal(int(m.count.item()), m.mean.item(), m.std.item()) for m in (method.positive, method.negative)
    )
    kept = flagged = negatives = 0
    effective = []
    for row in range(3):
        weights = []
        for s, masked in zip(similarity[row].tolist(), mask[row].tolist(), strict=True):
            if masked:
                continue
            negatives += 1
            weights.append(scalar_weights(method.settings, s, own[row].item(), positive, negative)[0])
            lowest = {"global": positive.mean - 0.2, "anchor": own[row].item() - 0.2, "none": -math.inf}[cut]
            kept += s > lowest
            flagged += s > lowest and sigmoid(scalar_logit(s, positive, negative, 10000)) > 0.001
        effective.append(sum(weights) ** 2 / sum(weight**2 for weight in weights))
    report = method.report()
    assert flagged > 0
    assert report["cut"] == pytest.approx(1 - kept / negatives, abs=1e-12)
    assert report["flagged"] == pytest.approx(flagged / negatives, abs=1e-12)
    assert report["effective"] == pytest.approx(sum(effective) / 3, rel=1e-9)
    method.choose(seen(similarity, own, mask))  # shares stay, as sums add up
    assert method.report() == pytest.approx(report, rel=1e-12)
    method.start_epoch()
    assert (method.report()["flagged"], method.report()["effective"]) == (0, 0)
