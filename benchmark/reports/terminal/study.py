"""What a tuning found."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from negbench.benchmark.reports.numbers import decimal
from negbench.benchmark.sweeps.studies import Outcome, Tried


def show(outcome: Outcome, folder: Path, screen: Console) -> None:
    """Default and best side by side, and where the files are."""
    screen.print(_table(outcome))
    for line in _verdict(outcome, folder):
        screen.print(line)


def brief(value: object) -> str:
    """A setting in four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(outcome: Outcome) -> Table:
    tried = {"default": outcome.default} | ({} if outcome.best_is_default else {"best": outcome.best})
    default = outcome.default.row.settings
    table = Table("", *tried)
    for name in sorted(name for name in default if outcome.best.row.settings[name] != default[name]):
        table.add_row(name, *(brief(one.row.settings[name]) for one in tried.values()))
    seed = outcome.facts["config"]["seed"]
    table.add_row(f"validation rSum, seed {seed}", *(decimal(one.row.rsum) for one in tried.values()))
    if seeds := [run.seed for run in outcome.best.fresh]:
        label = f"validation rSum, fresh seeds {', '.join(map(str, seeds))}"
        table.add_row(label, *(f"{decimal(one.mean)} ± {decimal(one.std)}" for one in tried.values()))
        table.add_row("n", *(_count(one) for one in tried.values()))
    if any(one.false_negatives is not None for one in tried.values()):
        table.add_row(
            "false negatives picked", *(decimal(_percent(one.false_negatives), "%") for one in tried.values())
        )
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _count(tried: Tried) -> str:
    """Runs in the mean, and those that are not."""
    other = [run.status for run in tried.fresh if run.status != "done"]
    return ", ".join([str(len(tried.done)), *(f"{other.count(status)} {status}" for status in sorted(set(other)))])


def _verdict(outcome: Outcome, folder: Path) -> list[str]:
    """What came out, in a few sentences."""
    states = ", ".join(f"{count} {state}" for state, count in outcome.states.items() if count)
    default, best, dataset = outcome.default, outcome.best, outcome.facts["config"]["dataset"]
    if outcome.best_is_default:
        lines = [f"no trial beats the defaults ({states})"]
    else:
        lines = [f"trial {best.row.number} is the best ({states})" + ("; it COLLAPSED" if best.row.collapsed else "")]
        lines += _against(default, best)
    if best.row.warmup:
        lines.append("its best epoch is one of the warm-up: no trial got beyond it")
    if not outcome.importance:
        lines.append("no importance picture: too few trials, or a single setting")
    use = f"bench run --config {folder / 'best.json'} --dataset {dataset}"
    return [*lines, f"written to {folder}; use it with:", use]


def _against(default: Tried, best: Tried) -> list[str]:
    """Best against default over the seeds that both came through; nothing where there are none."""
    gains = best.gains(default)
    if not gains:
        return []
    mean, higher = sum(gains) / len(gains), sum(gain > 0 for gain in gains)
    side = "above" if mean > 0 else "below"
    return [f"fresh seeds: {abs(mean):.1f} rSum {side} the defaults, higher with {higher} of {len(gains)}"]
