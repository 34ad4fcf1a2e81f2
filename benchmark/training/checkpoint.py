"""A training that is kept until its record stands, so that nothing that comes after it costs it.

What belongs to a cell besides its record lies in ``.bench/``, which DVC ignores; where the record is written to a
place outside the project it lies beside the record, as the project may be read-only.
"""

import copy
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.training.extras import Texts
from negbench.benchmark.training.inputs import opened
from negbench.benchmark.training.loop import Trained, prepare
from negbench.benchmark.training.task import Task
from negbench.pipelines import locks
from negbench.pipelines.atomic import Kind, new_folder
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import digest, read_json
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth

BENCH = Path(".bench")
KIND = Kind(
    "kept training",
    "trained.json",
    ("model.safetensors", "method.safetensors", "start.safetensors", "similarities.safetensors"),
)
IDENTITY = ("config_hash", "manifest_hash", "features_hash", "code_hash")
"""Facts that must agree before a training is used again."""
FACTS = (*IDENTITY, "versions", "device", "commit", "dirty", "created")
"""Facts of the record that are those of the training."""
NUMBERS = ("best_epoch", "validation", "history", "collapsed", "step_ms", "false_negative_rate")
"""What is plain in ``Trained``."""


@dataclass(frozen=True)
class Kept:
    """A training, of this process or of an earlier one."""

    trained: Trained
    facts: dict[str, Any]
    seconds: float
    """From the start to the last epoch's end."""
    peak_mb: float


def place(folder: Path) -> Path:
    """Where the training of the record ``folder`` is kept."""
    return _beside(folder, "kept", "")


def alone(folder: Path, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
    """Be the only one who makes the record ``folder``; ``waiting`` is told, in a line, who does so now."""

    def told(holder: str) -> None:
        waiting(f"this cell is being trained by {holder}; waiting")

    lock = _beside(folder, "locks", ".lock")
    return locks.alone(lock, told, stays=lock.is_relative_to(BENCH))  # nothing of ours is left beside a record


def _beside(folder: Path, what: str, end: str) -> Path:
    there, here = Path(os.path.realpath(folder)), Path.cwd().resolve()
    if not there.is_relative_to(here):
        return there.with_name(f".{there.name}{end or f'.{what}'}")
    inside = there.relative_to(here)
    return BENCH / what / f"{'-'.join(inside.parts[-3:])[:100]}-{digest(inside.as_posix())[:8]}{end}"


def keep(where: Path, kept: Kept) -> None:
    """Write a training to the folder ``where``, complete or not at all."""
    trained = kept.trained
    modules: dict[str, torch.nn.Module] = {"model": trained.task.towers, "method": trained.task.method}
    modules |= {"start": trained.start} if trained.start else {}
    counts = {
        f"{epoch}.{name}": torch.from_numpy(count)
        for epoch, found in enumerate(trained.similarities)
        for name, count in found.items()
    }
    content = {
        "facts": {name: kept.facts[name] for name in FACTS},
        "numbers": {name: getattr(trained, name) for name in NUMBERS},
        "kinds": list(trained.similarities[0]),
        "seconds": kept.seconds,
        "peak_mb": kept.peak_mb,
    }
    with new_folder(where, KIND) as scratch:
        for name, module in modules.items():
            (scratch / f"{name}.safetensors").write_bytes(weights(module))
        (scratch / "similarities.safetensors").write_bytes(save(counts))
        (scratch / KIND.mark).write_text(json.dumps(content, default=float), encoding="utf-8")


def weights(module: torch.nn.Module) -> bytes:
    """A module's state as a ``.safetensors`` file; the bytes, as a full disk is then an ``OSError`` like everywhere."""
    return save({key: value.cpu().contiguous() for key, value in module.state_dict().items()})


def facts_of(where: Path) -> dict[str, Any]:
    """The facts of the training that is kept at ``where``; none where there is none."""
    if not (where / KIND.mark).exists():
        return {}
    try:
        facts = read_json(where / KIND.mark)["facts"]
    except (DataError, LookupError, TypeError):
        return {}
    return facts if isinstance(facts, dict) else {}


def same_cell(facts: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether two trainings are of one configuration, data and code."""
    return all(facts.get(name) == others.get(name) for name in IDENTITY)


def restore(
    where: Path, facts: dict[str, Any], config: RunConfig, store: FeatureStore, truth: Truth | None, texts: Texts | None
) -> Kept | None:
    """The training that is kept at ``where``; None where there is none, or one of another cell, or a damaged one."""
    before = facts_of(where)
    if not before or not same_cell(before, facts):
        return None
    try:
        content = read_json(where / KIND.mark)
        numbers = {name: content["numbers"][name] for name in NUMBERS}
        counts = load_file(where / "similarities.safetensors")
        numbers["similarities"] = [
            {kind: counts[f"{epoch}.{kind}"].numpy() for kind in content["kinds"]}
            for epoch in range(len(numbers["history"]))
        ]
        trained = _filled(where, numbers, config, store, truth, texts)
        return Kept(trained, {name: before[name] for name in FACTS}, content["seconds"], content["peak_mb"])
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError, OSError):  # damaged: trained again
        return None


def _filled(
    where: Path,
    numbers: dict[str, Any],
    config: RunConfig,
    store: FeatureStore,
    truth: Truth | None,
    texts: Texts | None,
) -> Trained:
    """Towers and method as they were, with what surrounds them."""
    prepare(config)
    task = Task(config, opened(store, "train", config), truth, texts)
    start = copy.deepcopy(task.towers) if (where / "start.safetensors").exists() else None
    for name, module in (("model", task.towers), ("method", task.method), ("start", start)):
        if module is not None:
            module.load_state_dict(load_file(where / f"{name}.safetensors"))
    return Trained(task=task, start=start, **numbers)


@contextmanager
def named(where: Path) -> Iterator[None]:
    """Whatever fails inside is told together with where the training is kept."""
    try:
        yield
    except BaseException as error:
        if (where / KIND.mark).exists():
            error.add_note(f"the training is kept in {where}: the same command goes on from there")
        raise


def forget(where: Path) -> None:
    """Remove what was kept, in one step: no half of it is ever found."""
    if not where.exists():
        return
    gone = where.with_name(f".{where.name}.bench-{secrets.token_hex(4)}")  # what a kill leaves of it is swept
    where.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
