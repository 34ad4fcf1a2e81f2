"""From defaults, ``params.yaml``, a config file and flags to the one configuration of a cell.

Later ones win: the method's defaults < ``params.yaml`` < ``--config`` < flags. Unknown keys are errors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.schema import COMMON, RunConfig
from negbench.methods.registry import UnknownMethodError, broken, get, names
from negbench.pipelines import sources
from negbench.pipelines.atomic import write_text
from negbench.pipelines.encoders import spelled
from negbench.pipelines.errors import DataError, RequestError, invalid, unknown
from negbench.pipelines.files import parse_yaml, read_yaml
from negbench.pipelines.names import check_dataset, check_encoder
from negbench.pipelines.text import short

if TYPE_CHECKING:
    from negbench.methods.base import Method

PARAMS = Path("params.yaml")
CHECKED = Path("params.checked")
"""Says that the names in ``params.yaml`` are good; gone while they are not."""


class StudyKeys(BaseModel):
    """``tune`` of ``params.yaml``: what ``bench tune`` does where it is told nothing else."""

    model_config = ConfigDict(extra="forbid")

    method: str | None = None
    dataset: str | None = None
    trials: int = Field(default=20, ge=1)


class Params(BaseModel):
    """``params.yaml``."""

    model_config = ConfigDict(extra="forbid")

    datasets: list[str] = []
    encoders: dict[str, str] = {}
    methods: list[str] = []
    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = []
    recipe: dict[str, Any] = {}
    settings: dict[str, dict[str, Any]] = {}
    tune: StudyKeys = StudyKeys()


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML or JSON file with a mapping in it."""
    try:
        content = read_yaml(path)
    except DataError as error:
        raise BenchError(str(error)) from None
    if not isinstance(content, dict):
        raise BenchError(f"{path}: expected keys and values, found {type(content).__name__}")
    return content


def params() -> Params:
    """``params.yaml`` of the project, its names checked, or nothing where there is none."""
    if not PARAMS.exists():
        return Params()
    content = {key: value for key, value in load_yaml(PARAMS).items() if value is not None}
    _known(content, Params.model_fields, str(PARAMS))
    try:
        project = Params.model_validate(content)
    except ValidationError as error:
        raise BenchError(f"{PARAMS}: {invalid(error, StudyKeys.model_fields)}") from None
    _known(project.recipe, COMMON, f"{PARAMS}: recipe")
    methods = {*names(), *broken()}
    _known((name.replace("_", "-") for name in project.settings), methods, f"{PARAMS}: settings")
    _known((name.replace("_", "-") for name in project.methods), methods, f"{PARAMS}: methods", "method")
    if project.tune.method is not None:
        _known([project.tune.method.replace("_", "-")], methods, f"{PARAMS}: tune.method", "method")
    for name in project.datasets:
        _name(name, f"{PARAMS}: datasets")
    for name, encoder in project.encoders.items():
        _name(name, f"{PARAMS}: encoders", encoder)
    if project.tune.dataset is not None:
        _name(project.tune.dataset, f"{PARAMS}: tune.dataset")
    return project


def _name(dataset: str, where: str, encoder: str = "") -> None:
    """They become folders, and words of commands: ``BenchError`` where one can be none."""
    try:
        check_dataset(dataset)
        check_encoder(encoder)
    except RequestError as error:
        raise BenchError(f"{where}: {error}") from None


def check_params() -> Params:
    """``params.yaml``, with all datasets that it names there, and encoders for them; ``BenchError`` otherwise."""
    project = params()
    if not PARAMS.exists():
        raise BenchError(f"there is no {PARAMS} here")
    _known(project.datasets, sources.names(), f"{PARAMS}: datasets", "dataset")
    _known(project.encoders, sources.names(), f"{PARAMS}: encoders", "dataset")
    for name in project.datasets:
        if name not in project.encoders:
            raise BenchError(f"{PARAMS}: encoders: '{name}' of datasets is missing")
    for name, encoder in project.encoders.items():
        kept = encoder.replace("/", "--")
        if encoder != kept or "+" not in encoder:
            what = f"write '{kept}'" if "+" in encoder else "write IMAGE+TEXT, as bench encoders lists them"
            raise BenchError(f"{PARAMS}: encoders: {name}: '{short(encoder)}' is no name of a folder; {what}")
    return project


def mark_params() -> Params:
    """``check_params``, and leave the mark that the stages of ``dvc.yaml`` wait for."""
    project = check_params()
    write_text(CHECKED, "checked by bench params\n")  # the same each time: no stage runs again for it
    return project


def default_encoder(dataset: str) -> str:
    """The encoder of a dataset in ``params.yaml``, or else in its registration."""
    return params().encoders.get(dataset) or sources.read(dataset).encoder


def parse_changes(pairs: Iterable[str]) -> dict[str, Any]:
    """``["tau_false=2", "epochs=5"]`` to values as YAML reads them."""
    changes = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise BenchError(f"--set {short(pair)}: write it as key=value")
        try:
            changes[key.strip().replace("-", "_")] = parse_yaml(value, "the value")
        except DataError as error:
            raise BenchError(f"--set {short(pair)}: {error}") from None
    return changes


def resolve(flags: Mapping[str, Any], changes: Mapping[str, Any] | None = None, file: Path | None = None) -> RunConfig:
    """The configuration of a cell.

    Args:
        flags: keys of ``RunConfig``; None is as if not given.
        changes: ``--set``: keys of the recipe or settings of the method.
        file: ``--config``: keys of ``RunConfig``; ``settings`` is a mapping.

    Raises:
        BenchError: an unknown key, method or setting, or a value out of range; one line.
    """
    project, named = params(), {key: value for key, value in flags.items() if value is not None}
    content = load_yaml(file) if file else {}
    for key in ("recipe", "tune"):
        if key in content:
            raise BenchError(f"{file}: {key}: stands in {PARAMS} alone; here write its keys at the top, as epochs: 5")
    _known(content, RunConfig.model_fields, str(file))
    cell: dict[str, Any] = {**project.recipe, **content, **named}
    for key, needed in (("method", "bench methods"), ("dataset", "bench data list")):
        if not cell.get(key):
            raise BenchError(f"no {key}; name one with --{key} ({needed} lists them)")
    for key in ("method", "dataset", "encoder"):
        if not isinstance(cell.get(key) or "", str):
            raise BenchError(f"{file}: {key}: {short(repr(cell[key]))} is no name")
    _name(cell["dataset"], "--dataset" if named.get("dataset") else str(file))
    own = content.get("settings") or {}
    if not isinstance(own, dict) or not all(isinstance(key, str) for key in own):
        raise BenchError(f"{file}: settings: expected keys and values")
    method = _method(cell["method"])
    valid = [*COMMON, *(entry.name for entry in fields(method.Settings))]
    _known(changes or {}, valid, "--set")
    settings = {name.replace("_", "-"): value for name, value in project.settings.items()}
    settings = settings.get(cell["method"].replace("_", "-"), {}) | own
    for key, value in (changes or {}).items():
        (cell if key in COMMON else settings)[key] = value
    return _validated({**cell, "method": cell["method"].replace("_", "-"), "settings": _changed(method, settings)})


def _known(keys: Iterable[str], valid: Iterable[str], where: str, what: str = "key") -> None:
    for key in keys:
        if key not in valid:
            raise BenchError(f"{where}: {unknown(what, str(key), valid)}")


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
    cell["encoder"] = spelled(cell.get("encoder") or default_encoder(cell["dataset"]))
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
