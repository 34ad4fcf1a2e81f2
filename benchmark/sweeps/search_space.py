"""What tuning may change: the settings of a method that say where to search, and its factor on the learning rate."""

from collections.abc import Collection
from dataclasses import fields
from typing import Any

import optuna

from negbench import methods
from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.methods.base import Choice, Range

Space = dict[str, Range | Choice]
FACTOR = Range(0.1, 10.0, log=True)
"""Where every method's ``rate_factor`` is searched, so that none loses for the scale of its gradient."""


def space_of(config: RunConfig, held: Collection[str] = ()) -> Space:
    """The search space of the method, without what is ``held`` or differs from its default."""
    found: Space = {
        entry.name: entry.metadata["search"]
        for entry in fields(methods.get(config.method).Settings)
        if entry.metadata.get("search") is not None
    }
    found["rate_factor"] = FACTOR
    free = {name: search for name, search in found.items() if name not in {*held, *config.own}}
    if not free:
        raise BenchError(f"{config.method}: nothing to search, as {', '.join(found)} are set to one value")
    return free


def suggest(trial: optuna.Trial, name: str, search: Range | Choice) -> Any:
    """A value of a search space."""
    if isinstance(search, Choice):
        return trial.suggest_categorical(name, search.options)
    if isinstance(search.low, int) and isinstance(search.high, int):
        return trial.suggest_int(name, search.low, search.high, log=search.log)
    return trial.suggest_float(name, search.low, search.high, log=search.log)
