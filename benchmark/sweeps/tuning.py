"""Tuning: Optuna searches the settings of a method by validation rSum; the test split is never opened.

Every trial has the same seed, so the same batches and initial weights; the method's defaults are the first one.
The best of many trials on one seed looks better than it is: default and best are therefore trained again with
fresh seeds, and those numbers are the ones to believe.

The journal is the only state. A study is named after all that decides its numbers, so that one journal may hold
several and never mixes budgets, data or search spaces. Trial ``n`` draws from its own stream, so that a study
that was stopped and resumed has the same trials as one that was not.
"""

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import TrialState, create_trial

from negbench.benchmark.errors import BenchError, NoDataError, RunFailedError
from negbench.benchmark.recipe import identity
from negbench.benchmark.recipe.schema import RunConfig, digest
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.results.plausibility import is_possible
from negbench.benchmark.sweeps.cell import code_hash
from negbench.benchmark.sweeps.database import Database
from negbench.benchmark.sweeps.journal import alone, load
from negbench.benchmark.sweeps.pruning import Pruning, pruner_for, trained_result, trial_result
from negbench.benchmark.sweeps.search_space import Space, default_of, suggest
from negbench.benchmark.sweeps.studies import (
    Budget,
    Fresh,
    Outcome,
    Trial,
    Tried,
    TuningWatcher,
    best_of,
    check_files,
    told,
)
from negbench.benchmark.sweeps.trial_request import Helpers, TrialRequest, TrialResult
from negbench.benchmark.sweeps.trial_rows import again_key, again_values, counts, row_of, rsum_of, values_of
from negbench.benchmark.training.extras import Texts
from negbench.benchmark.training.inputs import features_hash
from negbench.benchmark.training.loop import Trained, train
from negbench.benchmark.training.watcher import Watcher
from negbench.pipelines.store import FeatureStore, read_info
from negbench.pipelines.truth import Truth

ENOUGH = 10
"""Trials needed before the importance of a setting means something."""


@dataclass(frozen=True)
class TuningTask:
    """What is tuned, and on what."""

    config: RunConfig
    """Its settings are held in all trials."""
    space: Space
    manifest_hash: str
    store: FeatureStore
    truth: Truth | None
    texts: Texts | None = None
    trial_seeds: int = 1
    """Seeds that every trial is trained with."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of every trial."""
        return tuple(range(self.config.seed, self.config.seed + self.trial_seeds))

    @property
    def name(self) -> str:
        """Name of the study: the same for the same trials only."""
        space = {name: {type(search).__name__: asdict(search)} for name, search in self.space.items()}
        made_of: dict[str, Any] = {
            "manifest": self.manifest_hash,
            "features": features_hash(self.store, self.config),
            "code": code_hash(self.config),
        }
        made_of |= {"trial_seeds": self.trial_seeds} if self.trial_seeds > 1 else {}
        return f"{self.config.method}-{digest({'cell': self.config.hash, 'space': space, **made_of})}"

    @property
    def defaults(self) -> dict[str, Any]:
        """What is searched, as the method, the recipe and the towers have it."""
        return {name: default_of(name, self.config) for name in self.space}

    def train(self, settings: Mapping[str, Any], seed: int, watcher: Watcher) -> Trained:
        """Train on validation alone; ``NoDataError`` where the features are others than those of the study."""
        if read_info(self.store.folder)["hash"] != self.store.hash:
            raise NoDataError(f"{self.store.folder} was made anew meanwhile; the same command begins a new study on it")
        config = self.config.with_found(settings).model_copy(update={"seed": seed})
        return train(config, self.store, self.truth, watcher, self.texts)


def tune(
    task: TuningTask,
    folder: Path,
    budget: Budget,
    watcher: TuningWatcher,
    write: Callable[[Outcome, Path], None],
    helpers: Helpers | None = None,
    database: Database | None = None,
) -> Outcome:
    """Bring the study of ``task`` to the trials and fresh seeds of ``budget``; ``write`` what it says to ``folder``.

    What the journal of ``folder`` has already is not run again. ``RunFailedError`` where no trial is complete.
    ``helpers`` train several at a time, in rounds; without, one is trained after the other, here. A ``database`` takes
    the place of the journal: others may work at the study at the same time, who may end it with a few trials more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with database.used() if database else alone(folder):
        check_files(folder)
        study = Study(task, folder / "journal.log", database)
        if lost := study.lost():
            watcher.note(f"{lost} finished trials of trials.csv are not in {study.place}; they are run again")
        study.search(budget.trials, watcher, helpers)
        rows = study.rows
        best = best_of(rows)
        if best is None:
            raise RunFailedError(f"none of {len(rows)} trials is complete; the first failed: {rows[0].error}")
        plain = study.default
        assert plain is not None  # the search does not end before
        pair = [plain] if best.number == plain.number else [plain, best]
        seeds = range(task.seeds[-1] + 1, task.seeds[-1] + 1 + budget.fresh_seeds)
        study.train_again(pair, seeds, watcher, helpers)
        default, tuned = study.tried(pair[0], seeds), study.tried(pair[-1], seeds)
        outcome = Outcome(study.facts, rows, default, tuned, study.importance())
        write(outcome, folder)
    return outcome


class Study:
    """One study of a journal, or of a database."""

    def __init__(self, task: TuningTask, journal: Path, database: Database | None = None) -> None:
        self.task, self.journal, self.database = task, journal, database
        self.place = "the database" if database else journal.name
        pruner = pruner_for(task.config)
        self.optuna = database.open(task.name, pruner) if database else load(journal, task.name, pruner)
        if "made" not in self.optuna.user_attrs:
            self.optuna.set_user_attr("made", {"versions": versions(), **identity.commit()})
        self._check()
        if database is None:  # there, a trial that runs may be another's
            self._recover()

    def _check(self) -> None:
        """``BenchError`` where the journal says what cannot be."""
        found = {f"trial {trial.number + 1}": values_of(trial) for trial in self.optuna.get_trials(deepcopy=False)}
        attributes = self.optuna.user_attrs
        found |= {key: again_values(value) for key, value in attributes.items() if key.startswith("seed ")}
        for what, values in found.items():
            for value in values:
                if not isinstance(value, float | int) or not is_possible("rsum", value):
                    place = self.place if self.database else self.journal
                    raise BenchError(f"{place}: {what}: rSum {value!r:.40} cannot be; move it away to begin anew")

    def lost(self) -> int:
        """How many trials of ``trials.csv`` the journal lacks; ``BenchError`` where the two have different rSums."""
        said, rows = told(self.journal.parent, self.task.name), {row.number: row.rsum for row in self.rows}
        for number in sorted(said.keys() & rows.keys()):
            if said[number] != rows[number]:
                raise BenchError(
                    f"{self.journal}: trial {number}: rSum {rows[number]}, but {said[number]} in trials.csv; one was"
                    " edited or is of another code: move the wrong one away"
                )
        return len(said.keys() - rows.keys())

    def _recover(self) -> None:
        """End the trials that a stopped process left running, and queue their parameters again."""
        for trial in self.optuna.get_trials(states=(TrialState.RUNNING,)):
            self.optuna.tell(trial.number, state=TrialState.FAIL)
            if trial.params.keys() == self.task.space.keys():  # else it was stopped before it had drawn them all
                self.optuna.enqueue_trial(trial.params)

    @property
    def default(self) -> Trial | None:
        """The trial that has the defaults; None where a stopped process did not come to its end."""
        return next((row for row in self.rows if row.settings == self.task.defaults), None)

    @property
    def rows(self) -> list[Trial]:
        """The trials that ended by themselves, in their order."""
        ended = [trial for trial in self.optuna.get_trials(deepcopy=False) if counts(trial)]
        return [row_of(number, trial) for number, trial in enumerate(ended, start=1)]

    @property
    def facts(self) -> dict[str, Any]:
        """What the study is about; versions and commit are those of its start."""
        config = self.task.config
        return {
            "study": self.task.name,
            "config": config.model_dump(),
            "recipe_hash": config.recipe_hash,
            "manifest_hash": self.task.manifest_hash,
            "features_hash": features_hash(self.task.store, self.task.config),
            "space": {name: asdict(search) for name, search in self.task.space.items()},
            **self.optuna.user_attrs["made"],
        }

    def search(self, trials: int, watcher: TuningWatcher, helpers: Helpers | None = None) -> None:
        """Run trials until there are ``trials`` in all, and the defaults among them: they come first."""
        ended = len(self.rows)
        watcher.plan(max(trials - ended, int(self.default is None)))
        while ended < trials or self.default is None:
            if self.default is None:
                self._queue_defaults()
            if helpers is None:
                watcher.begin(f"trial {ended + 1}/{max(trials, ended + 1)}")
                self._trial(ended + 1, watcher)
            else:
                self._round(ended + 1, max(trials - ended, 1), helpers)
            rows = self.rows
            for row in rows[ended:]:
                watcher.trial(row, best_of(rows[: row.number]))
            ended = len(rows)

    def _ask(self, number: int) -> tuple[optuna.Trial, dict[str, Any]]:
        """Trial ``number`` and its settings."""
        seed = seed_for(self.task.config.seed, "tuning", number) % 2**32
        self.optuna.sampler = optuna.samplers.TPESampler(seed=seed)
        trial = self.optuna.ask()
        if self.database:  # another client may ask for one of the same number
            seed = seed_for(self.task.config.seed, "tuning of many", trial.number) % 2**32
            self.optuna.sampler = optuna.samplers.TPESampler(seed=seed)
        return trial, {name: suggest(trial, name, search) for name, search in self.task.space.items()}

    def _queue_defaults(self) -> None:
        """Let the next trial have them, unless they wait already."""
        waiting = self.optuna.get_trials(states=(TrialState.WAITING,), deepcopy=False)
        if not any(trial.system_attrs.get("fixed_params") == self.task.defaults for trial in waiting):
            self.optuna.enqueue_trial(self.task.defaults)

    def _trial(self, number: int, watcher: TuningWatcher) -> None:
        if self.database:  # it is asked for nothing while a trial is trained
            trial, request = self._request(number, self._complete())
            self._tell(trial, trial_result(self.task, request, watcher))
            return
        trial, settings = self._ask(number)
        config = self.task.config
        pruning = Pruning(trial, config, watcher, spared=settings == self.task.defaults)
        self._tell(trial, trained_result(self.task, settings, self.task.seeds, pruning, watcher))

    def _round(self, first: int, left: int, helpers: Helpers) -> None:
        """Ask for the trials that are left of a round, from number ``first`` on; tell them in their order."""
        begun = 0 if self.database else (first - 1) % helpers.count
        before = self._complete(first - 1 - begun)
        asked = [self._request(number, before) for number in range(first, first + min(left, helpers.count - begun))]
        requests = [request for _, request in asked]
        results = {request.name: result for request, result in helpers.train(requests)}
        for trial, request in asked:
            self._tell(trial, results[request.name])

    def _complete(self, among: int | None = None) -> list[dict[int, float]]:
        """rSum by epoch of the complete trials, ``among`` the first that ended."""
        ended = [trial for trial in self.optuna.get_trials(deepcopy=False) if counts(trial)][:among]
        return [trial.intermediate_values for trial in ended if trial.state == TrialState.COMPLETE]

    def _request(self, number: int, before: list[dict[int, float]]) -> tuple[optuna.Trial, TrialRequest]:
        """Ask for a trial; the defaults are held against nothing."""
        trial, settings = self._ask(number)
        held = None if settings == self.task.defaults else before
        return trial, TrialRequest(f"trial {number}", settings, self.task.seeds, held)

    def _tell(self, trial: optuna.Trial, result: TrialResult) -> None:
        """Keep what a training found; where a database is away, wait for it, and say all of it again."""
        if self.database:
            self.database.patiently(lambda: self._told(trial, result))
        else:
            self._told(trial, result)

    def _told(self, trial: optuna.Trial, result: TrialResult) -> None:
        there = self.optuna.get_trials(deepcopy=False)[trial.number]
        if there.state.is_finished():  # the answer was lost, not the word
            return
        for epoch, value in result.reported.items():
            if epoch not in there.intermediate_values:
                trial.report(value, epoch)
        if result.state == "pruned":
            self.optuna.tell(trial, state=TrialState.PRUNED)
        elif result.best_epoch is None:
            trial.set_user_attr("error", result.error)
            self.optuna.tell(trial, state=TrialState.FAIL)
        else:
            trial.set_user_attr("collapsed", result.collapsed)
            trial.set_user_attr("warmup", result.best_epoch < self.task.config.warmup_epochs)
            trial.set_user_attr("false_negatives", result.false_negatives)
            self.optuna.tell(trial, result.rsum)

    def train_again(
        self, rows: Collection[Trial], seeds: Collection[int], watcher: TuningWatcher, helpers: Helpers | None = None
    ) -> None:
        """Train the settings of trials with other seeds, those apart that the journal has already."""
        known = self.optuna.user_attrs
        missing = {
            f"trial {row.number} again, seed {seed}": (row, seed)
            for row in rows
            for seed in seeds
            if again_key(row, seed) not in known
        }
        watcher.plan(len(missing))
        requests = [TrialRequest(name, row.settings, (seed,)) for name, (row, seed) in missing.items()]
        for request, result in helpers.train(requests) if helpers else self._one_by_one(requests, watcher):
            row, seed = missing[request.name]
            if result.state == "failed":
                run = Fresh(seed, "failed", error=result.error)
            else:
                status: Literal["collapsed", "done"] = "collapsed" if result.collapsed else "done"
                run = Fresh(seed, status, result.rsum, result.false_negatives)
            self._keep(again_key(row, seed), asdict(run))
            watcher.fresh(row, run)

    def _keep(self, key: str, value: dict[str, Any]) -> None:
        if self.database:
            self.database.patiently(lambda: self.optuna.set_user_attr(key, value))
        else:
            self.optuna.set_user_attr(key, value)

    def _one_by_one(
        self, requests: Sequence[TrialRequest], watcher: TuningWatcher
    ) -> Iterator[tuple[TrialRequest, TrialResult]]:
        for request in requests:
            watcher.begin(request.name)
            yield request, trained_result(self.task, request.settings, request.seeds, watcher, watcher)

    def tried(self, row: Trial, seeds: Collection[int]) -> Tried:
        """A trial with its trainings with other seeds."""
        known = self.optuna.user_attrs
        return Tried(row, [Fresh(**known[again_key(row, seed)]) for seed in seeds])

    def importance(self) -> dict[str, float]:
        """How much each setting tells the five best trials from all; empty where there are few trials.

        A pruned trial counts with its rSum so far: left out, it would take with it what is known to be poor.
        """
        ended = [trial for trial in self.optuna.get_trials(deepcopy=False) if rsum_of(trial) is not None]
        if len(ended) < ENOUGH or len(self.task.space) < 2:
            return {}
        scored = optuna.create_study(direction="maximize")
        for trial in ended:
            scored.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=rsum_of(trial)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=5 / len(ended))
            return optuna.importance.get_param_importances(scored, evaluator=evaluator)


def versions() -> dict[str, str]:
    return {**identity.versions(), "optuna": optuna.__version__}
