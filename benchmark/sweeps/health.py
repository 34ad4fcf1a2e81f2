"""What there is on this machine and in this project, and what should be done about it: ``bench doctor``.

Nothing is changed, and nothing is fetched. What cannot be found out is a line of advice, never an error.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import torch

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe import identity
from negbench.benchmark.recipe.params import PARAMS, check_params
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.recipe.stages import check_cells
from negbench.benchmark.results.integrity import survey
from negbench.benchmark.results.records import RunRecord
from negbench.benchmark.speed import busy
from negbench.benchmark.sweeps.cell import code_hash
from negbench.methods.registry import RegistryError, broken
from negbench.pipelines import manifest, store
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import digest
from negbench.pipelines.sources import listing, manifest_folder, store_folder

LIBRARIES = ("dvc", "optuna", "distributed", "pydantic", "pyarrow", "scipy", "matplotlib", "typer")
"""Beside those that a record tells the versions of."""
EXTRA = re.compile(r"([\w.-]+).*; *extra == ['\"]([\w-]+)['\"]")
FOR_WORK = {"dev"}
"""Extras that no user needs."""
LITTLE = 2 * 10**9
"""Bytes of a disk that a few records and features fill."""
OTHERS = {"dataset": "of another dataset", "features": "of other features", "code": "by other code"}
SOME = 3
"""Folders that a line of advice names."""


@dataclass(frozen=True)
class Stale:
    """A record that would be trained again if it was asked for."""

    folder: str
    why: tuple[str, ...]
    """What is another by now: dataset, features or code."""


@dataclass(frozen=True)
class Health:
    """All that was found; plain values of JSON."""

    versions: dict[str, str]
    extras: dict[str, list[str]]
    """Each extra with the packages that it lacks."""
    devices: list[str]
    threads: dict[str, float]
    """``cpus`` that this process may use, ``torch`` threads, ``load`` of the last minute."""
    disk: dict[str, float]
    """Of the current folder, in GB."""
    datasets: dict[str, str]
    """Each registered one with its state: ready, or what is missing."""
    records: int
    stale: tuple[Stale, ...]
    left_out: dict[str, str]
    """Folders that no table takes, and why."""
    advice: tuple[str, ...]


def examine() -> Health:
    """Look at everything. Takes as long as a leaderboard: every record is read."""
    cells, refused = survey()
    datasets = dict(_datasets())
    stale = tuple(found for cell in cells if (found := _stale(cell.folder, cell.record)))
    left_out = {str(folder): why for folder, why in refused}
    threads, disk = _threads(), _disk()
    advice = (
        *_of_project(),
        *_of_datasets(datasets),
        *_of_records(stale, left_out),
        *_of_machine(threads, disk),
        *(f"method {name} cannot be used: {why}" for name, why in broken().items()),
    )
    return Health(_versions(), _extras(), _devices(), threads, disk, datasets, len(cells), stale, left_out, advice)


def _versions() -> dict[str, str]:
    found = identity.versions()
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def _extras() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for requirement in requires("negbench") or []:
        if (asked := EXTRA.match(requirement)) and asked[2] not in FOR_WORK:
            lacking = found.setdefault(asked[2], [])
            try:
                version(asked[1])
            except PackageNotFoundError:
                lacking.append(asked[1])
    return dict(sorted(found.items()))


def _devices() -> list[str]:
    """As ``--device`` takes them, with what they are."""
    found = ["cpu"]
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(number)
            found.append(f"cuda:{number} ({about.name}, {about.total_memory / 1e9:,.0f} GB)")
    return found


def _threads() -> dict[str, float]:
    return {"cpus": busy.processors(), "torch": torch.get_num_threads(), "load": round(busy.load(), 1)}


def _disk() -> dict[str, float]:
    usage = shutil.disk_usage(Path.cwd())
    return {"free": usage.free / 1e9, "total": usage.total / 1e9}


def _datasets() -> Iterator[tuple[str, str]]:
    for entry in listing.entries():
        if entry.status == "not added":
            continue
        if entry.status != "ready":
            yield entry.name, entry.fault or entry.status
            continue
        made = [path.parent.name for path in sorted(Path("features").glob(f"{entry.name}/*/features.json"))]
        yield entry.name, f"ready: {', '.join(made)}" if made else "no features"


def _stale(folder: Path, record: RunRecord) -> Stale | None:
    """What a record was made of that is another by now; nothing of a model that was trained elsewhere."""
    config = record.config
    if config is None or record.status == "failed":
        return None
    made_of = {
        "dataset": (record.manifest_hash, _manifest_hash(config)),
        "features": (record.features_hash, _features_hash(config)),
        "code": (record.code_hash, _code_hash(config)),
    }
    why = tuple(name for name, (then, now) in made_of.items() if now not in (None, then))
    return Stale(str(folder), why) if why else None


def _manifest_hash(config: RunConfig) -> str | None:
    """None where there is none here, so that nothing can be told."""
    try:
        return str(manifest.read_info(manifest_folder(config.dataset))["hash"])
    except DataError:
        return None


def _features_hash(config: RunConfig) -> str | None:
    encoders = [config.encoder, *([config.guide_encoder] if config.guide_encoder else [])]
    try:
        hashes = [str(store.read_info(store_folder(config.dataset, name))["hash"]) for name in encoders]
    except DataError:
        return None
    return digest(*hashes) if config.guide_encoder else hashes[0]


def _code_hash(config: RunConfig) -> str | None:
    """None where its method or towers are not installed."""
    try:
        return code_hash(config)
    except (BenchError, RegistryError):
        return None


# --- What to do -------------------------------------------------------------------------------------------------


def _of_project() -> Iterator[str]:
    if not PARAMS.exists():
        yield f"there is no {PARAMS} here: bench init begins a project"
        return
    try:
        check_cells(check_params())
    except (BenchError, DataError, RegistryError) as error:
        yield str(error)


def _of_datasets(datasets: dict[str, str]) -> Iterator[str]:
    for name, state in datasets.items():
        if state == "not prepared":
            yield f"{name} is not prepared: bench features --dataset {name} does it, and encodes it"
        elif state == "no features":
            yield f"{name} is not encoded: bench features --dataset {name}"
        elif not state.startswith("ready: "):
            yield f"{name} is broken: {state}"


def _of_records(stale: tuple[Stale, ...], left_out: dict[str, str]) -> Iterator[str]:
    for what, said in OTHERS.items():
        if folders := [one.folder for one in stale if what in one.why]:
            yield (
                f"{_named(folders)}: made {said} than that of now; tables show them as they are, and they are trained"
                " again when they are asked for"
            )
    if left_out:
        yield f"{_named(list(left_out))}: in no table; bench leaderboard says why"


def _of_machine(threads: dict[str, float], disk: dict[str, float]) -> Iterator[str]:
    if disk["free"] * 1e9 < LITTLE:
        yield f"{disk['free']:.1f} GB are free here: make room before a sweep"
    if threads["load"] > threads["cpus"]:
        yield f"the machine is busy (load {threads['load']} on {threads['cpus']} CPUs): step times tell little now"


def _named(folders: list[str]) -> str:
    """A number of records, and some of them."""
    some = ", ".join(folders[:SOME]) + (" ..." if len(folders) > SOME else "")
    return f"{len(folders):,} record{'s' * (len(folders) != 1)} ({some})"
