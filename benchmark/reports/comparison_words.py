"""Two rows against each other, in words."""

from negbench.benchmark.reports.numbers import MISSING, p_value
from negbench.benchmark.results.compare import Comparison, MetricLine
from negbench.benchmark.results.rows import ALPHA, Key, describe
from negbench.benchmark.results.significance import LEVEL, T_SEEDS, WILCOXON_SEEDS

HEADERS = ("metric", "A", "B", "A − B", "95 % interval", "p images", "p both", "won/lost/tied")


def explain(found: Comparison) -> list[str]:
    """The difference in three sentences: on other images, in other trainings, and in both at once; a fourth where
    a model was trained elsewhere."""
    return [_on_these_images(found), _over_trainings(found), _over_both(found), *_apart(found)]


def _on_these_images(found: Comparison) -> str:
    line, (a, b) = found.lines[-1], _ordered(found)
    low, high = (line.low, line.high) if a == found.a else (-line.high, -line.low)
    points = f"{abs(line.difference):.1f} points of rSum"
    # rSum is the one figure named beforehand, so its own p
    sure = line.p < ALPHA and line.p_both is not None and line.p_both < ALPHA
    claim = f"{a} beats {b} by {points}" if sure else f"{a} stands {points} above {b}"
    verdict = f"{'' if line.p < ALPHA else 'no '}more than the choice of test images explains"
    return (
        f"On {describe(found.protocol)}, {claim} ({LEVEL:.0%} interval {low:.1f} to {high:.1f}),"
        f" {verdict} (p {_equals(line.p)})."
    )


def _over_trainings(found: Comparison) -> str:
    line, seeds, (a, _) = found.lines[-1], found.over_seeds, _ordered(found)
    gaps = list(seeds.differences.values())
    ahead = sum(gap > 0 for gap in gaps) if a == found.a else sum(gap < 0 for gap in gaps)
    better, worse = (line.won, line.lost) if a == found.a else (line.lost, line.won)
    total = line.won + line.lost + line.tied
    shares = f"{better / total:.0%} of the queries better and {worse / total:.0%} worse"
    if len(gaps) == 1:
        return f"There is one common seed, which says nothing of another training; {a} finds {shares}."
    p = "no test of so few" if seeds.p_t is None else f"paired t: p {_equals(seeds.p_t)}"
    return (
        f"It is ahead in {ahead} of {len(gaps)} trainings with the same seeds"
        f" ({abs(seeds.stat.mean):.1f} ± {seeds.stat.std or 0:.1f}, {p}), and finds {shares}."
    )


def _over_both(found: Comparison) -> str:
    line = found.lines[-1]
    if line.p_both is None:
        return f"Whether new trainings on new images would agree takes {T_SEEDS} common seeds to say."
    verdict = "more" if line.p_both < ALPHA else "no more"
    return f"The lead is {verdict} than trainings and test images together explain (p {_equals(line.p_both)})."


def _apart(found: Comparison) -> list[str]:
    rows = found.external
    if not rows:
        return []
    verb = "were" if len(rows) > 1 else "was"
    return [
        f"{' and '.join(rows)} {verb} trained elsewhere, by another recipe and budget: not the method alone differs."
    ]


def _ordered(found: Comparison) -> tuple[Key, Key]:
    """The one with the higher rSum first."""
    return (found.a, found.b) if found.lines[-1].difference >= 0 else (found.b, found.a)


def _equals(p: float) -> str:
    """``= 0.012`` or ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def words_of(line: MetricLine) -> tuple[str, ...]:
    """A metric as ``HEADERS`` say."""
    return (
        "rSum" if line.metric == "rsum" else f"{line.metric[:3]} R@{line.metric[5:]}",
        *(f"{each.mean:.1f}" + (f" ±{each.std:.1f}" if each.std is not None else "") for each in (line.a, line.b)),
        f"{line.difference:+.1f}",
        f"{line.low:.1f} to {line.high:.1f}",
        *map(p_value, (line.p_holm, line.p_both_holm)),
        f"{line.won}/{line.lost}/{line.tied}",
    )


def by_seed(found: Comparison) -> str:
    """rSum seed by seed, and its tests."""
    seeds = found.over_seeds
    each = ", ".join(f"{seed}: {gap:+.1f}" for seed, gap in seeds.differences.items())
    t = f"{MISSING}, needs {T_SEEDS} seeds" if seeds.p_t is None else p_value(seeds.p_t)
    wilcoxon = f"{MISSING}, needs {WILCOXON_SEEDS} seeds" if seeds.p_wilcoxon is None else p_value(seeds.p_wilcoxon)
    effect = MISSING if seeds.standardised is None else f"{seeds.standardised:+.1f}"
    return (
        f"A = {found.a}, B = {found.b}. rSum, A − B, by seed: {each}."
        f" Paired t: p {t}. Wilcoxon: p {wilcoxon}. In deviations over seeds: {effect}."
    )


def legend(found: Comparison) -> str:
    """What the columns mean."""
    return (
        "Recalls: mean ± sample deviation over the seeds. Interval: bootstrap over images, percentile, 95 %."
        " p images: other test images, these trainings (sign flips by image); p both: other trainings and other images"
        f" (mixed model, from {T_SEEDS} seeds); two-sided, each Holm-corrected, family: the {len(found.lines)} lines of"
        " this table. Bold: both below 0.05. won/lost/tied: queries. How to read it: docs/statistics.md"
    )
