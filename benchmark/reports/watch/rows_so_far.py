"""The rows of a leaderboard that is not complete: means over the seeds that are done."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from negbench.benchmark.recipe.schema import OF_A_ROW, Recipe, RunConfig
from negbench.benchmark.reports.tables.sheet import remark
from negbench.benchmark.reports.watch.shown import RowShown
from negbench.benchmark.results.leaderboard import BASELINE
from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import RunRecord
from negbench.benchmark.results.rows import Key, RowChoice, by_table, group_of, key_of, rows_of

USUAL = RowChoice(BASELINE, "0")


class Names:
    """What the rows of a plan are called: as the leaderboard has it, with dataset and keys of the recipe where the
    plan has several."""

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        keys = [key for key in Recipe.model_fields if key not in OF_A_ROW and key != "dataset"]
        first = configs[0]
        self._several = any(config.dataset != first.dataset for config in configs)
        self._keys = [key for key in keys if any(getattr(one, key) != getattr(first, key) for one in configs)]

    def row(self, config: RunConfig) -> str:
        words = [config.dataset] if self._several else []
        return " ".join([*words, str(key_of(config)), *(f"{key}={getattr(config, key)}" for key in self._keys)])

    def cell(self, config: RunConfig) -> str:
        return f"{self.row(config)} seed {config.seed}"


def rows_so_far(done: Iterable[RunRecord], names: Names, planned: Counter[str]) -> tuple[str, tuple[RowShown, ...]]:
    """The heading and the rows, table by table, the best first; ``planned``: cells of each row by its name."""
    shown, against = [], False
    for some in by_table(Recorded(Path(), record) for record in done).values():
        rows = {key: {seed: rsum_of(one.record) for seed, one in cells.items()} for key, cells in rows_of(some).items()}
        baseline = next((key for key in rows if USUAL.fits(key)), None)
        against = against or baseline is not None
        configs = {key_of(one.record.config): one.record.config for one in some if one.record.config}
        for row in group_of(some).rows:
            gap = None if baseline in (None, row.key) else difference(rows[row.key], rows[baseline])
            mean, name = fmean(rows[row.key].values()), names.row(configs[row.key])
            of = planned[name]
            seeds = f"{len(row.seeds)} of {of} {'seed' if of == 1 else 'seeds'}"
            shown.append(RowShown(name, mean, "  ".join(filter(None, [seeds, remark(row)])), gap))
    what = f"difference to {_usual()}" if against else f"no row of {_usual()} to compare with"
    return f"rSum so far, mean over the seeds done; {what}", tuple(shown)


def rsum_of(record: RunRecord) -> float:
    return record.metrics["rsum"]


def difference(row: dict[int, float], other: dict[int, float]) -> float | None:
    """Mean over the seeds that both have; None where they share none."""
    shared = row.keys() & other.keys()
    return fmean(row[seed] - other[seed] for seed in shared) if shared else None


def _usual() -> str:
    return str(Key(BASELINE, 0, None))
