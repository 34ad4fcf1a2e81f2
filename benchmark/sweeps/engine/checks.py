"""What a worker on another machine must have before it gets a cell: the same project, code, libraries and data."""

import importlib.metadata
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe import identity
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.sweeps.cell import code_hash
from negbench.benchmark.sweeps.engine.job import Place
from negbench.methods.registry import RegistryError
from negbench.pipelines import sources
from negbench.pipelines.code import ROOT, code_digest
from negbench.pipelines.errors import DataError
from negbench.pipelines.features import canonical
from negbench.pipelines.files import digest
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder, store_folder
from negbench.pipelines.store import FeatureStore


@dataclass(frozen=True)
class Requirements:
    """What a client has, as plain values: it is read by code of any version."""

    configs: tuple[str, ...]
    """Configurations of cells, as JSON: one of each method, tower, dataset and device."""
    code: str
    versions: tuple[tuple[str, str], ...]
    stores: tuple[tuple[str, str, str, str], ...]
    """Dataset and encoder, with the hashes of manifest and features."""


def wanted_for(cells: Iterable[RunConfig]) -> Requirements:
    """What this process has for cells, whose features are made."""
    kinds = {_kind(cell): cell for cell in cells}
    configs = list(kinds.values())
    names = {(cell.dataset, name) for cell in configs for name in (cell.encoder, cell.guide_encoder) if name}
    pairs = {(dataset, canonical(sources.read(dataset), name)) for dataset, name in names}
    stores = []
    for dataset, encoder in sorted(pairs):
        manifest, features = _hashes(dataset, encoder)
        stores.append((dataset, encoder, manifest, features))
    texts = tuple(config.model_dump_json() for config in configs)
    return Requirements(texts, code_of(configs), tuple(versions().items()), tuple(stores))


def complaints(place: Place, wanted: Requirements) -> list[str]:
    """Why this process may not run the cells of a client; nothing where it may."""
    if not Path(place.project, place.mark).is_file():
        return [f"{place.project} is not there, or not the folder that bench runs in: share it with this machine"]
    os.chdir(place.project)
    here = versions()
    found = [
        f"{name} is {here.get(name, 'missing')}, not {version}"
        for name, version in wanted.versions
        if here.get(name) != version
    ]
    try:
        configs = [RunConfig.model_validate_json(text) for text in wanted.configs]
        code = code_of(configs)
    except (ValueError, BenchError, RegistryError) as error:
        return [*found, f"its code is of another version ({error})"]
    if code != wanted.code:
        found.append(f"its code is of another version ({code[:8]}, not {wanted.code[:8]}); start it anew")
    return [*found, *_of_data(wanted.stores), *_of_devices(configs)]


def _kind(config: RunConfig) -> Sequence[str]:
    names = (config.method, config.warmup, config.image_tower, config.text_tower)
    return (*names, config.dataset, config.encoder, config.guide_encoder, config.device)


def versions() -> dict[str, str]:
    """Of Python, of what a training computes with, and of dask."""
    return {**identity.versions(), "distributed": importlib.metadata.version("distributed")}


def code_of(configs: Iterable[RunConfig]) -> str:
    """Digest of all code of the suite, and of what cells use besides.

    A process that runs for long has it of the files as they were when it first asked: that is the code it has loaded.
    """
    files = [path for package in identity.PACKAGES for path in (ROOT / package).rglob("*.py")]
    return digest(code_digest(files), *sorted({code_hash(config) for config in configs}))


def _hashes(dataset: str, encoder: str) -> tuple[str, str]:
    manifest = Manifest.read(manifest_folder(dataset)).hash
    return manifest, FeatureStore(store_folder(dataset, encoder), manifest).hash


def _of_data(stores: Sequence[tuple[str, str, str, str]]) -> list[str]:
    found = []
    for dataset, encoder, *hashes in stores:
        try:
            here = _hashes(dataset, encoder)
        except (DataError, OSError) as error:
            found.append(str(error))
            continue
        where = (manifest_folder(dataset), store_folder(dataset, encoder))
        for folder, one, other in zip(where, here, hashes, strict=True):
            if one != other:
                found.append(f"{folder} is another one there ({one[:8]}, not {other[:8]})")
    return found


def _of_devices(configs: Sequence[RunConfig]) -> list[str]:
    from negbench.benchmark.training import devices

    found = []
    for config in {config.device: config for config in configs}.values():
        try:
            devices.check_cell(config)
        except BenchError as error:
            found.append(str(error))
    return found
