"""The project as ``dvc.yaml`` sees it: the code behind each stage, and the stage that a cell belongs to.

DVC looks at files, not at what they import. So its first stage, ``bench params``, writes a digest of the code behind
each other stage to a file of its own, and that is what the stage depends on: it runs again where code that decides its
output changed, and not for a docstring, nor for a file that is somebody else's.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from negbench.benchmark.models import registry as towers
from negbench.benchmark.recipe.flags import SIDES, begun_with, parse_changes, resolve
from negbench.benchmark.recipe.identity import code_of_a_cell
from negbench.benchmark.recipe.params import Params, check_params, params
from negbench.benchmark.recipe.schema import Recipe, RunConfig
from negbench.methods import registry
from negbench.pipelines import current, datasets, encoders, sources
from negbench.pipelines.atomic import write_text
from negbench.pipelines.code import ROOT, code_digest, files_of

CHECKED = Path("checked")
"""Says that the names in ``params.yaml`` are good; gone while they are not. Holds a file per stage."""
OWN = "own"
"""Folder of a dataset's records that belong to no stage: apart from those of stages, which it may never touch, for the
lists of ``params.yaml`` may name any cell one day, and DVC works no more where a folder belongs to two."""
BOARD = ROOT / "benchmark" / "reports" / "leaderboard_folder.py"


def mark_params() -> Params:
    """``check_params``, and leave the digests that the stages of ``dvc.yaml`` depend on; the same each time."""
    project = check_params()
    wanted = digests(project)
    CHECKED.mkdir(exist_ok=True)
    for path in CHECKED.iterdir():
        if path.is_file() and path.name not in wanted:
            path.unlink(missing_ok=True)  # another process may have done so
    for name, digest in wanted.items():
        path = CHECKED / name
        if not path.is_file() or path.read_bytes() != f"{digest}\n".encode():
            write_text(path, f"{digest}\n")
    return project


def check_cells(project: Params) -> None:
    """``BenchError`` for what ``bench run`` would refuse in a cell of ``project``, or for its settings."""
    entries = dict.fromkeys([*project.methods, *project.settings, project.tune.method or Recipe().warmup])
    for entry in entries:
        for name in project.datasets:
            resolve({"method": entry, "dataset": name})
        if not project.datasets:  # the recipe and settings are wrong all the same
            resolve({"method": entry, "dataset": "none", "encoder": "none+none"})


def digests(project: Params) -> dict[str, str]:
    """File below ``CHECKED`` to the digest of the code behind its stage."""
    found = {"leaderboard": code_digest(files_of([BOARD], ["benchmark"]))}
    for name, encoder in project.encoders.items():
        source = sources.read(name)
        pair = encoders.pair(encoder, datasets.holds_features(source.format))
        found |= {f"prepare-{name}": datasets.code_of(source.format), f"features-{name}": current.code_of(pair)}
    found |= {f"run-{entry}": code_of_entry(entry, project.recipe) for entry in project.methods}
    if project.tune.method is not None:
        found["tune"] = code_of_entry(project.tune.method, project.recipe)
    return found


def code_of_entry(entry: str, recipe: dict[str, Any]) -> str:
    """Digest of the code of an entry of ``methods``; what is of another package goes by its version.

    Warm-up and towers are those of the ``recipe`` of ``params.yaml``; the entry may name its own.
    """
    method, *words = entry.split("+")
    changes = parse_changes(words)
    keys = {**Recipe().model_dump(), **begun_with(recipe, {}, changes), **changes}
    places = [registry.place_of(str(name).replace("_", "-")) for name in (method, keys["warmup"])]
    places += [towers.place_of(str(keys[f"{side}_tower"])) for side in SIDES]
    said = [place for place in places if isinstance(place, str)]
    return " ".join([code_of_a_cell(place for place in places if isinstance(place, Path)), *said])


def is_in_pipeline(dataset: str) -> bool:
    """Whether ``params.yaml`` names the dataset, to be encoded at least."""
    project = params()
    return dataset in project.encoders or dataset in project.datasets


def stages_of(configs: Iterable[RunConfig]) -> dict[str, tuple[str, Path]]:
    """Digests of cells to their stages of ``dvc.yaml`` and the folders of their records, of those that have one."""
    wanted, project = list(configs), params()
    found = {}
    for config in wanted:
        name = config.method.replace("-", "_")
        for entry in project.methods:
            there = config.dataset in project.datasets and config.seed in project.seeds
            if there and entry.partition("+")[0].replace("-", "_") == name:
                cell = {"method": entry, "dataset": config.dataset, "seed": config.seed}
                if resolve(cell).hash == config.hash:
                    stage = f"run@{config.dataset}-{entry}-{config.seed}"
                    found[config.hash] = (stage, Path("runs", config.dataset, entry, f"seed-{config.seed}"))
    return found
