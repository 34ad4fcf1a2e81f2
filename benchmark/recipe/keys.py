"""Every key of a cell in words: what it begins with, what it may be, what it means."""

from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo

from negbench.benchmark.recipe import presets
from negbench.benchmark.recipe.schema import PLAIN, Execution, Judging, Keys, Recipe, RunConfig

OF_A_CELL = ("rate_factor",)
"""Keys of a method beside its settings."""
BOUNDS = {"Ge": ">= {0.ge}", "Gt": "> {0.gt}", "Le": "<= {0.le}", "Lt": "< {0.lt}"}


class RecipeKey(NamedTuple):
    """One that ``--set`` takes."""

    name: str
    default: Any
    may_be: str
    """Values or range; empty where anything of its kind is."""
    meaning: str
    part: str
    """``recipe``: what decides numbers; ``execution``: where it runs; ``judging``: what the audit takes for a match."""


def every(preset: str | None = None) -> list[RecipeKey]:
    """All, with the values that a preset begins with; ``BenchError`` for an unknown one."""
    begun = presets.load(preset or PLAIN)
    parts: dict[str, type[Keys]] = {"recipe": Recipe, "execution": Execution, "judging": Judging}
    found = []
    for part, keys in parts.items():
        own = dict(keys.model_fields)
        if part == "recipe":
            own |= {name: RunConfig.model_fields[name] for name in OF_A_CELL}
        for name, field in own.items():
            default = begun.get(name, field.get_default(call_default_factory=True))
            found.append(RecipeKey(name, default, _may_be(field), " ".join((field.description or "").split()), part))
    return found


def _may_be(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(map(str, get_args(field.annotation)))
    if field.annotation is bool:
        return "true, false"
    return ", ".join(
        BOUNDS[type(bound).__name__].format(bound) for bound in field.metadata if type(bound).__name__ in BOUNDS
    )
