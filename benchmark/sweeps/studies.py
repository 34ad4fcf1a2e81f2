"""What a tuning found, and its files: a folder ``studies/<dataset>/<method>/``, or ``<method>+memory=N/``.

==================  ===========================================================================
``journal.log``     Optuna's journal: the only state, from which all else is written anew
``best.json``       method and settings, for ``bench run --config``
``study.json``      default and best with all their numbers, recipe, hashes, versions
``trials.csv``      a row per trial
``history.png``     validation rSum per trial
``importance.png``  importance of the settings, where there are enough trials to tell
==================  ===========================================================================
"""

import csv
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe import flags
from negbench.benchmark.recipe.params import params
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.training.watcher import Watcher
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import read_json, read_text

STUDIES = Path("studies")
SCHEMA_VERSION = 1
FILES = ("journal.log", "best.json", "study.json", "trials.csv", "history.png", "importance.png")


def folder_of(config: RunConfig) -> Path:
    """Where a method's studies on a dataset belong; those of another memory than the project's apart."""
    usual = flags.begun_with(params().recipe, {}, {}).get("memory", RunConfig.model_fields["memory"].default)
    memory = "" if config.memory == usual else f"+memory={config.memory}"
    return STUDIES / config.dataset / f"{config.method.replace('-', '_')}{memory}"


@dataclass(frozen=True)
class Budget:
    """What a study may cost, the same for every method of a comparison."""

    trials: int
    """In all, the first with the defaults."""
    trial_seeds: int = 1
    """Seeds that every trial is trained with."""
    fresh_seeds: int = 3
    """Other seeds that default and best are run with."""


@dataclass(frozen=True)
class Trial:
    """A trial that ended."""

    number: int
    """From 1."""
    state: Literal["complete", "pruned", "failed"]
    rsum: float | None
    """Validation rSum of the best epoch; where pruned, so far."""
    epochs: int | None
    """Epochs trained."""
    warmup: bool
    """The best epoch is one of the warm-up: the method itself gained nothing."""
    settings: dict[str, Any]
    false_negatives: float | None
    """Share of the chosen negatives that are true of their anchor, where the truth is known."""
    collapsed: bool
    error: str | None


@dataclass(frozen=True)
class Fresh:
    """A training with a seed that no trial has seen."""

    seed: int
    status: Literal["done", "collapsed", "failed"]
    rsum: float | None = None
    false_negatives: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Tried:
    """Settings with their trial and their fresh seeds."""

    row: Trial
    fresh: list[Fresh]

    @property
    def done(self) -> list[float]:
        """rSum of the fresh seeds that neither failed nor collapsed."""
        return [run.rsum for run in self.fresh if run.status == "done" and run.rsum is not None]

    @property
    def mean(self) -> float | None:
        return statistics.mean(self.done) if self.done else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation; unknown of a single run."""
        return statistics.stdev(self.done) if len(self.done) > 1 else None

    @property
    def false_negatives(self) -> float | None:
        """Mean over trial and fresh seeds."""
        rates = [self.row.false_negatives, *(run.false_negatives for run in self.fresh)]
        known = [rate for rate in rates if rate is not None]
        return statistics.mean(known) if known else None

    def gains(self, other: "Tried") -> list[float]:
        """rSum over ``other``'s, per fresh seed that neither failed nor collapsed with either."""
        theirs = {run.seed: run for run in other.fresh}
        pairs = [(run, theirs[run.seed]) for run in self.fresh]
        return [a.rsum - b.rsum for a, b in pairs if a.status == b.status == "done" and a.rsum and b.rsum]

    def summary(self) -> dict[str, Any]:
        runs = [asdict(run) for run in self.fresh]
        return {**asdict(self.row), "fresh": runs, "mean": self.mean, "std": self.std, "n": len(self.done)}


def best_of(rows: Sequence[Trial]) -> Trial | None:
    """The complete trial with the highest rSum, the earlier one of two equals."""
    complete = [row for row in rows if row.state == "complete"]
    return max(complete, key=lambda row: row.rsum or 0.0, default=None)


@dataclass(frozen=True)
class Outcome:
    """All that a study says, computed from its journal."""

    facts: dict[str, Any]
    """Study, configuration, hashes, search space, versions."""
    rows: list[Trial]
    default: Tried
    best: Tried
    importance: dict[str, float]
    """Shares of one; empty where there are too few trials to tell."""

    @property
    def best_is_default(self) -> bool:
        return self.best.row.number == self.default.row.number

    @property
    def states(self) -> dict[str, int]:
        """Number of trials per state."""
        return {state: sum(row.state == state for row in self.rows) for state in ("complete", "pruned", "failed")}

    def summary(self) -> dict[str, Any]:
        """The content of ``study.json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            **self.facts,
            "trials": self.states,
            "default": self.default.summary(),
            "best": self.best.summary(),
            "best_is_default": self.best_is_default,
            "importance": self.importance,
        }


class TuningWatcher(Watcher):
    """What a tuning tells while it runs, besides the training of the moment."""

    def note(self, line: str) -> None:
        """Something to know of the study."""

    def plan(self, trainings: int) -> None:
        """So many trainings are to come."""

    def begin(self, title: str) -> None:
        """A training begins."""

    def trial(self, row: Trial, best: Trial | None) -> None:
        """A trial ended; ``best`` is the best complete one so far."""

    def fresh(self, row: Trial, run: Fresh) -> None:
        """A training of a trial's settings with a fresh seed ended."""


def check_files(folder: Path) -> None:
    """``BenchError`` where a pipe or a device stands for a file of a study: it may never end."""
    for name in FILES:
        path = folder / name
        if path.exists() and not path.is_file():
            raise BenchError(f"{path}: not a file; move it away")


def told(folder: Path, study: str) -> dict[int, float | None]:
    """rSum by the number of each trial in ``trials.csv``; nothing where it is of another study, or broken."""
    try:
        if read_json(folder / "study.json")["study"] != study:
            return {}
        rows = csv.DictReader(read_text(folder / "trials.csv").splitlines())
        return {int(row["number"]): float(row["rsum"]) if row["rsum"] else None for row in rows}
    except (DataError, LookupError, TypeError, ValueError, csv.Error):
        return {}
