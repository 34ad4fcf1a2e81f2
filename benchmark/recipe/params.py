"""``params.yaml``: what the pipeline of a project runs, and the recipe that its cells share."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.schema import COMMON
from negbench.methods.registry import broken, names
from negbench.pipelines import sources
from negbench.pipelines.errors import DataError, RequestError, invalid, unknown
from negbench.pipelines.files import read_yaml
from negbench.pipelines.names import check_dataset, check_encoder
from negbench.pipelines.text import short

PARAMS = Path("params.yaml")
HEAD = "'head' is two keys by now, image_tower and text_tower; bench models lists what they may be"
ENTRY = re.compile(r"[A-Za-z0-9_-]+(\+[a-z_]+=[A-Za-z0-9._-]+)*")
"""A method with what differs from the recipe: it names a folder."""


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
    check_known(content, Params.model_fields, str(PARAMS))
    try:
        project = Params.model_validate(content)
    except ValidationError as error:
        raise BenchError(f"{PARAMS}: {invalid(error, StudyKeys.model_fields)}") from None
    check_known(project.recipe, COMMON, f"{PARAMS}: recipe")
    methods = {*names(), *broken()}
    check_known((name.replace("_", "-") for name in project.settings), methods, f"{PARAMS}: settings")
    for entry in project.methods:
        if "+" in entry and not ENTRY.fullmatch(entry):
            raise BenchError(f"{PARAMS}: methods: '{short(entry)}': write it as method+key=value")
    entries = (name.partition("+")[0].replace("_", "-") for name in project.methods)
    check_known(entries, methods, f"{PARAMS}: methods", "method")
    if project.tune.method is not None:
        check_known([project.tune.method.replace("_", "-")], methods, f"{PARAMS}: tune.method", "method")
    for name in project.datasets:
        check_name(name, f"{PARAMS}: datasets")
    for name, encoder in project.encoders.items():
        check_name(name, f"{PARAMS}: encoders", encoder)
    if project.tune.dataset is not None:
        check_name(project.tune.dataset, f"{PARAMS}: tune.dataset")
    return project


def check_name(dataset: str, where: str, encoder: str = "") -> None:
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
    check_known(project.datasets, sources.names(), f"{PARAMS}: datasets", "dataset")
    check_known(project.encoders, sources.names(), f"{PARAMS}: encoders", "dataset")
    for name in project.datasets:
        if name not in project.encoders:
            raise BenchError(f"{PARAMS}: encoders: '{name}' of datasets is missing")
    for name, encoder in project.encoders.items():
        kept = encoder.replace("/", "--")
        if encoder != kept or "+" not in encoder:
            what = f"write '{kept}'" if "+" in encoder else "write IMAGE+TEXT, as bench encoders lists them"
            raise BenchError(f"{PARAMS}: encoders: {name}: '{short(encoder)}' is no name of a folder; {what}")
    return project


def default_encoder(dataset: str) -> str:
    """The encoder of a dataset in ``params.yaml``, or else in its registration."""
    return params().encoders.get(dataset) or sources.read(dataset).encoder


def check_known(keys: Iterable[str], valid: Iterable[str], where: str, what: str = "key") -> None:
    """``BenchError`` for the first that is not valid, with what was probably meant."""
    for key in keys:
        if key == "head" and key not in valid and "image_tower" in valid:
            raise BenchError(f"{where}: {HEAD}")
        if key not in valid:
            raise BenchError(f"{where}: {unknown(what, str(key), valid)}")
