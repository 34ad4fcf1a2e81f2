"""What Optuna keeps of a trial, as a row of a study."""

from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from negbench.benchmark.recipe.schema import digest
from negbench.benchmark.sweeps.studies import Fresh, Trial


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial ended by itself; one that was killed has no error to show."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or "error" in trial.user_attrs


def rsum_of(trial: FrozenTrial) -> float | None:
    """Validation rSum of a complete trial; of a pruned one that of its best epoch so far."""
    if trial.state == TrialState.PRUNED:
        return max(trial.intermediate_values.values(), default=None)
    return trial.value if trial.state == TrialState.COMPLETE else None


def values_of(trial: FrozenTrial) -> list[Any]:
    """Every rSum that the journal has of a trial."""
    return [*trial.intermediate_values.values(), *(trial.values or ())]


def again_values(run: Any) -> list[Any]:
    """That of a training with another seed; what is none where it is not kept as such."""
    try:
        return [value for value in [Fresh(**run).rsum] if value is not None]
    except TypeError:
        return [run]


def again_key(row: Trial, seed: int) -> str:
    """Key in the journal of a training with another seed."""
    return f"seed {seed} of {digest(row.settings)}"


def row_of(number: int, trial: FrozenTrial) -> Trial:
    states: dict[TrialState, Literal["complete", "pruned", "failed"]] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    return Trial(
        number=number,
        state=states[trial.state],
        rsum=rsum_of(trial),
        epochs=None if trial.last_step is None else trial.last_step + 1,
        warmup=trial.user_attrs.get("warmup", False),
        settings=trial.params,
        false_negatives=trial.user_attrs.get("false_negatives"),
        collapsed=trial.user_attrs.get("collapsed", False),
        error=trial.user_attrs.get("error"),
    )
