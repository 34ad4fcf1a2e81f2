"""A trial is trained, as long as it is worth its next epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Protocol

import optuna
from optuna.trial import create_trial

from negbench.benchmark.errors import RunFailedError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.sweeps.trial_request import TrialRequest, TrialResult
from negbench.benchmark.training.loop import Trained
from negbench.benchmark.training.watcher import History, Watcher


class Trains(Protocol):
    """What is tuned."""

    @property
    def config(self) -> RunConfig:
        """Of all trials, but for what is searched."""

    def train(self, settings: Mapping[str, Any], seed: int, watcher: Watcher) -> Trained:
        """Train with some settings."""


def pruner_for(config: RunConfig) -> optuna.pruners.BasePruner:
    """The median rule: its best epoch so far is below the median of the complete trials at this epoch.

    Hyperband divides 20 trials among brackets of a few each, and a patient pruner waits for a falling rSum, but here a
    poor trial is one that rises slowly. The second epoch of a method is the first one judged, as rSum may fall right
    after the warm-up.
    """
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=config.warmup_epochs + 1)


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


def trained_result(
    task: Trains, settings: Mapping[str, Any], seeds: Sequence[int], watcher: Watcher, shown: Watcher
) -> TrialResult:
    """Train with each seed, whatever comes of it; ``watcher`` sees the first training, ``shown`` the others."""
    ended = []
    try:
        for number, seed in enumerate(seeds):
            ended.append(task.train(settings, seed, shown if number else watcher))
    except optuna.TrialPruned:
        return TrialResult("pruned")
    except RunFailedError as error:
        return TrialResult("failed", error=str(error))
    rates = [one.false_negative_rate["both"] for one in ended if "both" in one.false_negative_rate]
    return TrialResult(
        "complete",
        fmean(one.validation["rsum"] for one in ended),
        best_epoch=max(one.best_epoch for one in ended),
        collapsed=any(one.collapsed for one in ended),
        false_negatives=fmean(rates) if rates else None,
    )


def trial_result(task: Trains, request: TrialRequest, shown: Watcher) -> TrialResult:
    """Train a trial, held against those that were complete before, whatever the journal says by now."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", pruner=pruner_for(task.config))
    for values in request.before or []:
        study.add_trial(create_trial(value=max(values.values(), default=0.0), intermediate_values=values))
    pruning = Pruning(study.ask(), task.config, shown, spared=request.before is None)
    result = trained_result(task, request.settings, request.seeds, pruning, shown)
    return replace(result, reported=dict(study.get_trials(deepcopy=False)[-1].intermediate_values))
