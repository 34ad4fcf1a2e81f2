"""From defaults, ``params.yaml``, a config file and flags to the one configuration of a cell.

Later ones win: the method's defaults < ``params.yaml`` < ``--config`` < flags. Unknown keys are errors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe import presets
from negbench.benchmark.recipe.params import PARAMS, check_known, check_name, default_encoder, load_yaml, params
from negbench.benchmark.recipe.schema import COMMON, PLAIN, RunConfig
from negbench.methods.registry import UnknownMethodError, get
from negbench.pipelines.encoders import spelled
from negbench.pipelines.errors import DataError, invalid
from negbench.pipelines.files import parse_yaml
from negbench.pipelines.text import short

if TYPE_CHECKING:
    from negbench.benchmark.models.base import Modality
    from negbench.methods.base import Method

OF_A_CELL = ("encoder", "rate_factor", "tuned")
"""Keys of a single cell that --set takes."""
SIDES: "tuple[Modality, Modality]" = ("image", "text")


def parse_changes(pairs: Iterable[str]) -> dict[str, Any]:
    """``["tau_false=2", "epochs=5"]`` to values as YAML reads them."""
    changes: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            raise BenchError(f"--set {short(pair)}: write it as key=value")
        try:
            key, value = key.strip().replace("-", "_"), parse_yaml(text, "the value")
        except DataError as error:
            raise BenchError(f"--set {short(pair)}: {error}") from None
        if changes.setdefault(key, value) != value:
            raise BenchError(f"--set {short(pair)}: {key} is {short(repr(changes[key]))} already; give one of them")
    return changes


def check_agreed(places: Mapping[str, Mapping[str, Any]]) -> None:
    """``BenchError`` where one key has two values: a word of the command would count for nothing."""
    first: dict[str, tuple[Any, str]] = {}
    for where, content in places.items():
        for key, value in content.items():
            other, there = first.setdefault(key, (value, where))
            if other != value:
                one, two = short(repr(other)), short(repr(value))
                raise BenchError(f"{key}: {one} {there}, but {two} {where}; give one of them")


def resolve(flags: Mapping[str, Any], changes: Mapping[str, Any] | None = None, file: Path | None = None) -> RunConfig:
    """The configuration of a cell.

    Args:
        flags: keys of ``RunConfig``; None is as if not given. A method may have changes behind it: ``fne+memory=0``.
        changes: ``--set``: keys of the recipe, settings of the method, or of a tower: ``image.KEY``, ``text.KEY``.
        file: ``--config``: keys of ``RunConfig``; ``settings`` is a mapping.

    Raises:
        BenchError: an unknown key, method or setting, a value out of range, or two values for one key; one line.
    """
    project, named = params(), {key: value for key, value in flags.items() if value is not None}
    content = load_yaml(file) if file else {}
    for key in ("recipe", "tune"):
        if key in content:
            raise BenchError(f"{file}: {key}: stands in {PARAMS} alone; here write its keys at the top, as epochs: 5")
    check_known(content, RunConfig.model_fields, str(file))
    told = named.get("method") or content.get("method")
    words = parse_changes(told.split("+")[1:]) if isinstance(told, str) else {}
    check_agreed({"behind the method": words, "of --set": dict(changes or {}), "of its own flag": named})
    changes = words | dict(changes or {})
    if "preset" in changes:
        named["preset"] = changes.pop("preset")
    begun = begun_with(project.recipe, content, named)
    cell: dict[str, Any] = {**begun, **content, **named}
    for key, needed in (("method", "bench methods"), ("dataset", "bench data list")):
        if not cell.get(key):
            raise BenchError(f"no {key}; name one with --{key} ({needed} lists them)")
    for key in ("method", "dataset", "encoder"):
        if not isinstance(cell.get(key) or "", str):
            raise BenchError(f"{file}: {key}: {short(repr(cell[key]))} is no name")
    check_name(cell["dataset"], "--dataset" if named.get("dataset") else str(file))
    own = content.get("settings") or {}
    if not isinstance(own, dict) or not all(isinstance(key, str) for key in own):
        raise BenchError(f"{file}: settings: expected keys and values")
    cell["method"] = cell["method"].partition("+")[0]
    changes = of_towers(cell, changes, begun)
    method = _method(cell["method"])
    valid = [*COMMON, *OF_A_CELL, *(entry.name for entry in fields(method.Settings))]
    check_known(changes, valid, "--set")
    settings = {name.replace("_", "-"): value for name, value in project.settings.items()}
    settings = settings.get(cell["method"].replace("_", "-"), {}) | own
    for key, value in changes.items():
        (cell if key in (*COMMON, *OF_A_CELL) else settings)[key] = value
    return _validated({**cell, "method": cell["method"].replace("_", "-"), "settings": _changed(method, settings)})


def begun_with(project: dict[str, Any], content: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    """The keys that a cell begins with: of its preset and of ``params.yaml``.

    A preset that ``params.yaml`` names is changed by what stands beside it there; one that is asked for elsewhere
    changes what stands there.
    """
    asked = named.get("preset") or content.get("preset")
    preset = asked or project.get("preset") or PLAIN
    if not isinstance(preset, str):
        raise BenchError(f"preset: {short(repr(preset))} is no name")
    begun = presets.load(preset)
    return {**project, **begun, "preset": preset} if asked else {**begun, **project, "preset": preset}


def of_towers(cell: dict[str, Any], changes: Mapping[str, Any], begun: Mapping[str, Any]) -> dict[str, Any]:
    """Put settings of towers, ``image.KEY``, where they belong in ``cell``; the changes that are none.

    What the cell has ``begun`` with for a tower holds for another model of its family too, and for no other tower.
    """
    others = {}
    for side in SIDES:
        tower, settings = f"{side}_tower", f"{side}_settings"
        own = cell.get(settings) or {}
        towers = [str(name).partition(":")[0] for name in (begun.get(tower), changes.get(tower, cell.get(tower)))]
        if towers[0] != towers[1] and own == begun.get(settings):
            own = {}
        cell[settings] = dict(own)
    for key, value in changes.items():
        where, dot, name = key.partition(".")
        if dot and where in SIDES:
            cell[f"{where}_settings"][name] = value
        else:
            others[key] = value
    return others


def _tower(cell: dict[str, Any], side: "Modality") -> None:
    """Spell a tower as it is kept, with the settings that differ from its defaults."""
    from negbench.benchmark.models import registry
    from negbench.benchmark.models.two_towers import checked

    name = cell.get(f"{side}_tower", "linear")
    if not isinstance(name, str):
        raise BenchError(f"{side}_tower: {short(repr(name))} is no name")
    settings = checked(registry.for_side(name, side), side, cell[f"{side}_settings"])
    tower, model = registry.split(name)
    cell[f"{side}_tower"], cell[f"{side}_settings"] = f"{tower}:{model}" if model else tower, settings.changed()


def _method(name: str) -> "type[Method]":
    try:
        return get(name)
    except UnknownMethodError as error:
        raise BenchError(str(error)) from None


def _changed(method: "type[Method]", settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from the method's defaults, checked."""
    try:
        return method.Settings.of(settings).changed()
    except ValueError as error:
        raise BenchError(f"settings: {error}") from None


def _validated(cell: dict[str, Any]) -> RunConfig:
    for side in SIDES:
        _tower(cell, side)
    cell["encoder"] = spelled(cell.get("encoder") or default_encoder(cell["dataset"]))
    if isinstance(guide := cell.get("guide_encoder"), str) and guide:
        cell["guide_encoder"] = spelled(guide)
    try:
        config = RunConfig.model_validate(cell)
    except ValidationError as error:
        raise BenchError(invalid(error)) from None
    _method(config.warmup)
    if config.epochs <= config.warmup_epochs:
        raise BenchError(
            f"epochs: {config.epochs} leave nothing after {config.warmup_epochs} of warm-up; use --epochs"
            f" {config.warmup_epochs + 1} or more, or --set warmup_epochs={config.epochs - 1}"
        )
    return config
