"""One study for each of many methods, by one rule, and the cells that say what it gained.

A study is what ``bench tune`` makes of it alone; the cells are those of ``bench run``, with seeds that no trial has
seen, of the defaults and of the best settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.flags import parse_changes, resolve
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.sweeps.studies import Budget, folder_of
from negbench.benchmark.sweeps.sweep import PlannedCell, log_name
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import read_json


@dataclass(frozen=True)
class Rule:
    """What is the same for every method."""

    dataset: str
    seed: int
    """The first of a trial; its others follow, and then the fresh ones, which default and best are recorded with."""
    budget: Budget
    changes: tuple[str, ...] = ()
    """``key=value`` each, held in all trials."""
    searched: tuple[str, ...] = ()
    """Words of ``--search``."""

    @property
    def fresh_seeds(self) -> range:
        first = self.seed + self.budget.trial_seeds
        return range(first, first + self.budget.fresh_seeds)


@dataclass(frozen=True)
class PlannedStudy:
    """One study, as arguments of ``bench tune``."""

    method: str
    memory: int | None
    """None leaves it to the recipe."""
    rule: Rule

    @property
    def name(self) -> str:
        memory = "" if self.memory is None else f" memory {self.memory}"
        return f"{self.rule.dataset} {self.method}{memory} study"

    @property
    def log(self) -> str:
        """Name of its log."""
        return log_name(self.name)

    @cached_property
    def config(self) -> RunConfig:
        flags = {"method": self.method, "dataset": self.rule.dataset, "seed": self.rule.seed, "memory": self.memory}
        return resolve(flags, parse_changes(self.rule.changes))

    @property
    def command(self) -> list[str]:
        """Arguments after ``bench``."""
        rule, budget = self.rule, self.rule.budget
        words = ["tune", "--method", self.method, "--dataset", rule.dataset, "--trials", str(budget.trials)]
        words += ["--seed", str(rule.seed), "--trial-seeds", str(budget.trial_seeds), "--fresh-seeds", "0"]
        words += [] if self.memory is None else ["--memory", str(self.memory)]
        words += [word for change in rule.changes for word in ("--set", change)]
        return [*words, *(word for space in rule.searched for word in ("--search", space))]

    def cells(self, track: tuple[str, ...] = ()) -> list[PlannedCell]:
        """Of the defaults and, where the study found something better, of its best settings; seed by seed."""
        best = folder_of(self.config) / "best.json"
        files: list[Path | None] = [None] if _found_nothing(best.parent) else [None, best]
        return [
            PlannedCell(self.method, self.rule.dataset, seed, self.memory, self.rule.changes, file=file, track=track)
            for seed in self.rule.fresh_seeds
            for file in files
        ]


def plan(methods: Sequence[str], memories: Sequence[int | None], rule: Rule) -> list[PlannedStudy]:
    """A study for each method under each memory."""
    return list(dict.fromkeys(PlannedStudy(method, memory, rule) for memory in memories for method in methods))


def _found_nothing(folder: Path) -> bool:
    try:
        return bool(read_json(folder / "study.json")["best_is_default"])
    except (DataError, LookupError, TypeError) as error:
        raise BenchError(f"{folder}/study.json: {error}; the same command makes it anew") from None
