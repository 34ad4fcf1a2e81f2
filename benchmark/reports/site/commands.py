"""The command that makes a record again."""

import shlex
from collections.abc import Iterator

from negbench.benchmark.recipe import presets
from negbench.benchmark.recipe.schema import PLAIN, Recipe, RunConfig

SIDES = {"image_settings": "image", "text_settings": "text"}


def command_of(config: RunConfig) -> str:
    """``bench run`` with all in which a cell differs from the defaults, and from its preset where it has one."""
    words = ["bench", "run", "--method", config.method, "--dataset", config.dataset, "--seed", str(config.seed)]
    words += ["--encoder", config.encoder]
    if config.preset != PLAIN:
        words += ["--recipe", config.preset]
    for setting in _settings(config):
        words += ["--set", setting]
    return shlex.join(words)


def _settings(config: RunConfig) -> Iterator[str]:
    begun = presets.load(config.preset)
    for name, field in Recipe.model_fields.items():
        value, usual = getattr(config, name), begun.get(name, field.get_default(call_default_factory=True))
        if name in SIDES:
            yield from (f"{SIDES[name]}.{key}={_said(each)}" for key, each in value.items() if usual.get(key) != each)
        elif value != (tuple(usual) if isinstance(usual, list) else usual):
            yield f"{name}={_said(value)}"
    yield from (f"{key}={_said(value)}" for key, value in config.own.items())


def _said(value: object) -> str:
    """As ``--set`` reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple | list) else str(value)
