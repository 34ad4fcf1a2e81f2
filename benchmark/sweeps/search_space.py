"""What tuning may change: the settings of a method that say where to search, and its factor on the learning rate."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import optuna
from pydantic import ValidationError

from negbench import methods
from negbench.benchmark.errors import BenchError
from negbench.benchmark.models import registry
from negbench.benchmark.recipe.flags import SIDES
from negbench.benchmark.recipe.schema import NESTED, Recipe, RunConfig
from negbench.methods.base import Choice, Range
from negbench.pipelines.errors import DataError, invalid, unknown
from negbench.pipelines.files import parse_yaml
from negbench.pipelines.text import short

if TYPE_CHECKING:
    from negbench.benchmark.models.base import Modality

Space = dict[str, Range | Choice]
FACTOR = Range(0.1, 10.0, log=True)
"""Where every method's ``rate_factor`` is searched, so that none loses for the scale of its gradient."""


def space_of(config: RunConfig, held: Collection[str] = (), asked: Collection[str] = ()) -> Space:
    """The search space of the method, without what is ``held`` or differs from its default; ``asked``: more of it.

    ``BenchError`` where nothing is left, or for words that are no space (``asked_for``).
    """
    found: Space = {
        entry.name: entry.metadata["search"]
        for entry in fields(methods.get(config.method).Settings)
        if entry.metadata.get("search") is not None
    }
    found["rate_factor"] = FACTOR
    free = {name: search for name, search in found.items() if name not in {*held, *config.own}}
    for word in asked:
        name, search = asked_for(word, config)
        if name in held:
            raise BenchError(f"--search {name}: --set holds it; leave one of them out")
        free[name] = search
    if not free:
        raise BenchError(f"{config.method}: nothing to search, as {', '.join(found)} are set to one value")
    return free


def asked_for(word: str, config: RunConfig) -> tuple[str, Range | Choice]:
    """``learning_rate=1e-4:1e-2:log``, ``batch=64,128``: a key of the recipe, of the method, or of a tower.

    ``BenchError`` where there is no such key, or it may not be what is asked for; the defaults are the first trial, so
    a choice has them.
    """
    name, sign, text = word.partition("=")
    name = name.strip().replace("-", "_")
    if not sign or (":" not in text and "," not in text):
        raise BenchError(f"--search {short(word)}: write it as key=low:high, key=low:high:log, or key=a,b,c")
    default = default_of(name, config)
    if ":" in text:
        low, high, *scale = text.split(":")
        ends = [_read(low, word), _read(high, word)]
        if scale not in ([], ["log"]) or not all(isinstance(end, int | float) for end in ends) or ends[0] >= ends[1]:
            raise BenchError(f"--search {short(word)}: write it as key=low:high or key=low:high:log, low below high")
        if scale and ends[0] <= 0:
            raise BenchError(f"--search {short(word)}: on a scale of logarithms all is above 0")
        search: Range | Choice = Range(ends[0], ends[1], bool(scale))
        values = ends
        outside = not ends[0] <= default <= ends[1]
    else:
        values = [_read(part, word) for part in text.split(",")]
        search, outside = Choice(tuple(values)), default not in values
    if outside:
        raise BenchError(f"--search {name}: the first trial has the default, {default}, which is not in {search}")
    for value in values:
        _check(name, value, config)
    return name, search


def default_of(name: str, config: RunConfig) -> Any:
    """What the method, the recipe or a tower has where nothing is searched; ``BenchError`` for an unknown key."""
    side, dot, key = name.partition(".")
    if dot and side in SIDES:
        known = {**asdict(settings_of_tower(config, side)()), **getattr(config, NESTED[side])}
    else:
        key = name
        known = {**asdict(methods.get(config.method).Settings()), "rate_factor": 1.0}
        known |= {each: getattr(config, each) for each in Recipe.model_fields if each not in NESTED.values()}
    if key not in known:
        raise BenchError(f"--search: {unknown('key', name, known)}")
    return known[key]


def settings_of_tower(config: RunConfig, side: str) -> Any:
    """The settings' class of a side's tower."""
    modality: Modality = "image" if side == "image" else "text"
    return registry.for_side(getattr(config, f"{side}_tower"), modality).settings_of(modality)


def _check(name: str, value: Any, config: RunConfig) -> None:
    """``BenchError`` where a key may not have a value."""
    found = config.with_found({name: value})
    try:
        RunConfig.model_validate(found.model_dump())
        methods.get(config.method).Settings.of(found.settings)
        for side in SIDES:
            settings_of_tower(config, side).of(getattr(found, NESTED[side]))
    except ValidationError as error:
        raise BenchError(f"--search {name}: {invalid(error)}") from None
    except ValueError as error:
        raise BenchError(f"--search {name}: {error}") from None


def _read(text: str, word: str) -> Any:
    try:
        value = parse_yaml(text, "the value")
    except DataError as error:
        raise BenchError(f"--search {short(word)}: {error}") from None
    with suppress(ValueError, TypeError):
        value = float(value) if isinstance(value, str) else value  # 1e-3, which YAML takes for a word
    return value


def suggest(trial: optuna.Trial, name: str, search: Range | Choice) -> Any:
    """A value of a search space."""
    if isinstance(search, Choice):
        return trial.suggest_categorical(name, search.options)
    if isinstance(search.low, int) and isinstance(search.high, int):
        return trial.suggest_int(name, search.low, search.high, log=search.log)
    return trial.suggest_float(name, search.low, search.high, log=search.log)
