"""Which trials are not worth their last epochs."""

import optuna

from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.training.watcher import History, Watcher


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
