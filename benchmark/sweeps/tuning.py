"""Tuning: Optuna searches the settings of a method by validation rSum; the test split is never opened.

Every trial has the same seed, so the same batches and initial weights; the method's defaults are the first one.
The best of many trials on one seed looks better than it is: default and best are therefore trained again with
fresh seeds, and those numbers are the ones to believe.

The journal is the only state. A study is named after all that decides its numbers, so that one journal may hold
several and never mixes budgets, data or search spaces. Trial ``n`` draws from its own stream, so that a study
that was stopped and resumed has the same trials as one that was not.
"""

import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from negbench import methods
from negbench.benchmark.errors import BenchError, NoDataError, RunFailedError
from negbench.benchmark.recipe import identity
from negbench.benchmark.recipe.schema import RunConfig, digest
from negbench.benchmark.recipe.seeds import seed_for
from negbench.benchmark.results.plausibility import is_possible
from negbench.benchmark.sweeps.cell import code_hash
from negbench.benchmark.sweeps.journal import alone, load
from negbench.benchmark.sweeps.search_space import Space, suggest
from negbench.benchmark.sweeps.studies import (
    STUDIES,
    Fresh,
    Outcome,
    Trial,
    Tried,
    TuningWatcher,
    best_of,
    check_files,
    told,
)
from negbench.benchmark.training.extras import Texts
from negbench.benchmark.training.inputs import features_hash
from negbench.benchmark.training.loop import Trained, train
from negbench.benchmark.training.watcher import History, Watcher
from negbench.pipelines.store import FeatureStore, read_info
from negbench.pipelines.truth import Truth

ENOUGH = 10
"""Trials needed before the importance of a setting means something."""


def folder_of(config: RunConfig) -> Path:
    """Where a method's studies on a dataset belong."""
    return STUDIES / config.dataset / config.method.replace("-", "_")


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

    @property
    def name(self) -> str:
        """Name of the study: the same for the same trials only."""
        space = {name: {type(search).__name__: asdict(search)} for name, search in self.space.items()}
        made_of = {
            "manifest": self.manifest_hash,
            "features": features_hash(self.store, self.config),
            "code": code_hash(self.config),
        }
        return f"{self.config.method}-{digest({'cell': self.config.hash, 'space': space, **made_of})}"

    @property
    def defaults(self) -> dict[str, Any]:
        """What is searched, as the method has it."""
        settings = methods.get(self.config.method).Settings()
        return {name: getattr(settings, name) for name in self.space}

    def train(self, settings: Mapping[str, Any], seed: int, watcher: Watcher) -> Trained:
        """Train on validation alone; ``NoDataError`` where the features are others than those of the study."""
        if read_info(self.store.folder)["hash"] != self.store.hash:
            raise NoDataError(f"{self.store.folder} was made anew meanwhile; the same command begins a new study on it")
        config = self.config.model_copy(update={"settings": {**self.config.settings, **settings}, "seed": seed})
        return train(config, self.store, self.truth, watcher, self.texts)


def tune(
    task: TuningTask,
    folder: Path,
    trials: int,
    fresh: int,
    watcher: TuningWatcher,
    write: Callable[[Outcome, Path], None],
) -> Outcome:
    """Bring the study of ``task`` to ``trials`` trials and ``fresh`` fresh seeds; ``write`` what it says to ``folder``.

    What the journal of ``folder`` has already is not run again. ``RunFailedError`` where no trial is complete.
    """
    with alone(folder):
        check_files(folder)
        study = Study(task, folder / "journal.log")
        if lost := study.lost():
            watcher.note(f"{lost} finished trials of trials.csv are not in journal.log; they are run again")
        study.search(trials, watcher)
        rows = study.rows
        best = best_of(rows)
        if best is None:
            raise RunFailedError(f"none of {len(rows)} trials is complete; the first failed: {rows[0].error}")
        plain = study.default
        assert plain is not None  # the search does not end before
        pair = [plain] if best.number == plain.number else [plain, best]
        seeds = range(task.config.seed + 1, task.config.seed + 1 + fresh)
        study.train_again(pair, seeds, watcher)
        default, tuned = study.tried(pair[0], seeds), study.tried(pair[-1], seeds)
        outcome = Outcome(study.facts, rows, default, tuned, study.importance())
        write(outcome, folder)
    return outcome


class Study:
    """One study of a journal."""

    def __init__(self, task: TuningTask, journal: Path) -> None:
        self.task, self.journal = task, journal
        # The median rule: its best epoch so far is below the median of the complete trials at this epoch. Hyperband
        # divides 20 trials among brackets of a few each, and a patient pruner waits for a falling rSum, but here a
        # poor trial is one that rises slowly. The second epoch of a method is the first one judged, as rSum may
        # fall right after the warm-up.
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=task.config.warmup_epochs + 1)
        self.optuna = load(journal, task.name, pruner)
        if "made" not in self.optuna.user_attrs:
            self.optuna.set_user_attr("made", {"versions": versions(), **identity.commit()})
        self._check()
        self._recover()

    def _check(self) -> None:
        """``BenchError`` where the journal says what cannot be."""
        found = {f"trial {trial.number + 1}": _values(trial) for trial in self.optuna.get_trials(deepcopy=False)}
        attributes = self.optuna.user_attrs
        found |= {key: _again_values(value) for key, value in attributes.items() if key.startswith("seed ")}
        for what, values in found.items():
            for value in values:
                if not isinstance(value, float | int) or not is_possible("rsum", value):
                    raise BenchError(
                        f"{self.journal}: {what}: rSum {value!r:.40} cannot be; move it away to begin anew"
                    )

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
        ended = [trial for trial in self.optuna.get_trials(deepcopy=False) if _counts(trial)]
        return [_row(number, trial) for number, trial in enumerate(ended, start=1)]

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

    def search(self, trials: int, watcher: TuningWatcher) -> None:
        """Run trials until there are ``trials`` in all, and the defaults among them: they come first."""
        ended = len(self.rows)
        watcher.plan(max(trials - ended, int(self.default is None)))
        while ended < trials or self.default is None:
            if self.default is None:
                self._queue_defaults()
            watcher.begin(f"trial {ended + 1}/{max(trials, ended + 1)}")
            seed = seed_for(self.task.config.seed, "tuning", ended + 1) % 2**32
            self.optuna.sampler = optuna.samplers.TPESampler(seed=seed)
            self._trial(self.optuna.ask(), watcher)
            rows = self.rows
            ended = len(rows)
            watcher.trial(rows[-1], best_of(rows))

    def _queue_defaults(self) -> None:
        """Let the next trial have them, unless they wait already."""
        waiting = self.optuna.get_trials(states=(TrialState.WAITING,), deepcopy=False)
        if not any(trial.system_attrs.get("fixed_params") == self.task.defaults for trial in waiting):
            self.optuna.enqueue_trial(self.task.defaults)

    def _trial(self, trial: optuna.Trial, watcher: TuningWatcher) -> None:
        config = self.task.config
        settings = {name: suggest(trial, name, search) for name, search in self.task.space.items()}
        try:
            pruning = Pruning(trial, config, watcher, spared=settings == self.task.defaults)
            trained = self.task.train(settings, config.seed, pruning)
        except optuna.TrialPruned:
            self.optuna.tell(trial, state=TrialState.PRUNED)
        except RunFailedError as error:
            trial.set_user_attr("error", str(error))
            self.optuna.tell(trial, state=TrialState.FAIL)
        else:
            trial.set_user_attr("collapsed", trained.collapsed)
            trial.set_user_attr("warmup", trained.best_epoch < config.warmup_epochs)
            trial.set_user_attr("false_negatives", trained.false_negative_rate.get("both"))
            self.optuna.tell(trial, trained.validation["rsum"])

    def train_again(self, rows: Collection[Trial], seeds: Collection[int], watcher: TuningWatcher) -> None:
        """Train the settings of trials with other seeds, those apart that the journal has already."""
        known = self.optuna.user_attrs
        missing = [(row, seed) for row in rows for seed in seeds if _again(row, seed) not in known]
        watcher.plan(len(missing))
        for row, seed in missing:
            watcher.begin(f"trial {row.number} again, seed {seed}")
            try:
                trained = self.task.train(row.settings, seed, watcher)
            except RunFailedError as error:
                run = Fresh(seed, "failed", error=str(error))
            else:
                status: Literal["collapsed", "done"] = "collapsed" if trained.collapsed else "done"
                run = Fresh(seed, status, trained.validation["rsum"], trained.false_negative_rate.get("both"))
            self.optuna.set_user_attr(_again(row, seed), asdict(run))
            watcher.fresh(row, run)

    def tried(self, row: Trial, seeds: Collection[int]) -> Tried:
        """A trial with its trainings with other seeds."""
        known = self.optuna.user_attrs
        return Tried(row, [Fresh(**known[_again(row, seed)]) for seed in seeds])

    def importance(self) -> dict[str, float]:
        """How much each setting tells the five best trials from all; empty where there are few trials.

        A pruned trial counts with its rSum so far: left out, it would take with it what is known to be poor.
        """
        ended = [trial for trial in self.optuna.get_trials(deepcopy=False) if _rsum(trial) is not None]
        if len(ended) < ENOUGH or len(self.task.space) < 2:
            return {}
        scored = optuna.create_study(direction="maximize")
        for trial in ended:
            scored.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=_rsum(trial)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=5 / len(ended))
            return optuna.importance.get_param_importances(scored, evaluator=evaluator)


class Pruning(Watcher):
    """Tells Optuna the validation rSum of each epoch after the warm-up, and stops a trial that is behind."""

    def __init__(self, trial: optuna.Trial, config: RunConfig, shown: Watcher, spared: bool = False) -> None:
        """``spared``: the defaults are trained to the end, as all is compared with them."""
        self.trial, self.config, self.shown, self.spared = trial, config, shown, spared

    def step(self, epoch: int, step: int, steps: int) -> None:
        self.shown.step(epoch, step, steps)

    def epoch(self, row: History) -> None:
        self.shown.epoch(row)
        epoch = int(row["epoch"])
        if epoch < self.config.warmup_epochs:  # the same in all trials
            return
        self.trial.report(row["val_rsum"], epoch)
        if not self.spared and epoch + 1 < self.config.epochs and self.trial.should_prune():
            raise optuna.TrialPruned


def versions() -> dict[str, str]:
    return {**identity.versions(), "optuna": optuna.__version__}


def _counts(trial: FrozenTrial) -> bool:
    """Whether a trial ended by itself; one that was killed has no error to show."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or "error" in trial.user_attrs


def _rsum(trial: FrozenTrial) -> float | None:
    """Validation rSum of a complete trial; of a pruned one that of its best epoch so far."""
    if trial.state == TrialState.PRUNED:
        return max(trial.intermediate_values.values(), default=None)
    return trial.value if trial.state == TrialState.COMPLETE else None


def _values(trial: FrozenTrial) -> list[Any]:
    """Every rSum that the journal has of a trial."""
    return [*trial.intermediate_values.values(), *(trial.values or ())]


def _again_values(run: Any) -> list[Any]:
    """That of a training with another seed; what is none where it is not kept as such."""
    try:
        return [value for value in [Fresh(**run).rsum] if value is not None]
    except TypeError:
        return [run]


def _again(row: Trial, seed: int) -> str:
    """Key in the journal of a training with another seed."""
    return f"seed {seed} of {digest(row.settings)}"


def _row(number: int, trial: FrozenTrial) -> Trial:
    states: dict[TrialState, Literal["complete", "pruned", "failed"]] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    return Trial(
        number=number,
        state=states[trial.state],
        rsum=_rsum(trial),
        epochs=None if trial.last_step is None else trial.last_step + 1,
        warmup=trial.user_attrs.get("warmup", False),
        settings=trial.params,
        false_negatives=trial.user_attrs.get("false_negatives"),
        collapsed=trial.user_attrs.get("collapsed", False),
        error=trial.user_attrs.get("error"),
    )
