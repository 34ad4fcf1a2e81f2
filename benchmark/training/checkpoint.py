"""A training that can go on from where it was, in any place: weights, memory, optimiser, random streams, history.

What belongs to a cell besides its record lies in ``.bench/``, which DVC ignores; where the record is written to a
place outside the project it lies beside the record, as the project may be read-only. It is there until the record
stands: whatever fails after the last epoch does not cost the training.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from negbench.benchmark.errors import BenchError, first_line
from negbench.benchmark.training import devices, processes
from negbench.benchmark.training.progress import Progress, Saved
from negbench.pipelines import atomic, locks
from negbench.pipelines.atomic import Kind, new_folder, whole
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import digest, file_digest, read_json

BENCH = Path(".bench")
TENSORS = "checkpoint.safetensors"
KIND = Kind("checkpoint", "checkpoint.json", (TENSORS,))
IDENTITY = {
    "config_hash": "another configuration",
    "manifest_hash": "another manifest",
    "features_hash": "other features",
    "code_hash": "other code",
}
"""Facts that must agree before a training goes on, and what to say where one does not."""
FACTS = (*IDENTITY, "versions", "device", "commit", "dirty", "created")
"""Facts of the record that are those of the training."""


class Checkpoint:
    """Of one cell."""

    def __init__(self, where: Path, facts: dict[str, Any], said: Callable[[str], None] = lambda line: None) -> None:
        """``facts``: of the cell, as its record will say them; ``said`` is told, in a line, what was found."""
        self.where, self.facts, self._said = where, {name: facts[name] for name in FACTS}, said
        self.seconds = 0.0
        """Of training, in processes before this one."""
        self.peak_mb = 0.0
        """What they took of memory."""

    def resume(self, training: Saved) -> None:
        """Put a training where it was saved; leave it where there is none, or one of another cell, or a damaged one."""
        before = facts_of(self.where)
        if not before:
            return
        for name, other in IDENTITY.items():
            if before.get(name) != self.facts[name]:
                self._said(f"{self.where} is of {other}: the training begins anew")
                return
        try:
            content = read_json(self.where / KIND.mark)
            count, progress = content["processes"], Progress(**content["progress"])
            seconds, peak_mb = float(content["seconds"]), float(content["peak_mb"])
            tensors = self._tensors(content["tensors"])
        except (DataError, SafetensorError, OSError, LookupError, TypeError, ValueError):
            self._said(f"{self.where} is damaged: the training begins anew")
            return
        if count != processes.count():
            raise BenchError(
                f"{self.where} is of {count} processes, not {processes.count()}: go on with as many, or"
                " remove it to begin anew"
            )
        training.restore(asdict(progress), tensors)
        self.seconds, self.peak_mb = seconds, peak_mb
        self.facts = {name: before[name] for name in FACTS}
        done = training.progress
        if done.epoch < training.config.epochs:
            self._said(f"going on from {self.where}: epoch {done.epoch + 1}, after {done.step:,} of its steps")

    def _tensors(self, told: str) -> dict[str, Tensor]:
        """``DataError`` where they are not those that were saved: a weight with a bit turned would go unnoticed."""
        path = self.where / TENSORS
        if file_digest(path) != told:
            raise DataError(f"{path} changed after it was written")
        return load_file(path)

    def save(self, training: Saved) -> None:
        """Write where a training is, complete or not at all."""
        tensors = training.tensors()  # of all processes
        if processes.rank() == 0:
            content = {
                "facts": self.facts,
                "processes": processes.count(),
                "seconds": self.seconds + training.seconds,
                "peak_mb": max(self.peak_mb, devices.peak(training.config.device)),
                "progress": asdict(training.progress),
            }
            try:
                with new_folder(self.where, KIND) as scratch:
                    (scratch / TENSORS).write_bytes(saved(tensors))
                    told = content | {"tensors": file_digest(scratch / TENSORS)}
                    (scratch / KIND.mark).write_text(json.dumps(told, default=float), encoding="utf-8")
            except (OSError, DataError) as error:  # the training may find room for its record yet
                self._said(f"{self.where} could not be written: {first_line(error)}")


def saved(tensors: dict[str, Tensor]) -> bytes:
    """Tensors as a ``.safetensors`` file; the bytes, as a full disk is then an ``OSError`` like everywhere."""
    return save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})


def weights(module: torch.nn.Module) -> bytes:
    """A module's state as a ``.safetensors`` file."""
    return saved(module.state_dict())


def place(folder: Path) -> Path:
    """Where the checkpoint of the record ``folder`` is."""
    return _beside(folder, "checkpoints", "")


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


def facts_of(where: Path) -> dict[str, Any]:
    """The facts of the training that is saved at ``where``; none where there is none."""
    if not (whole(where) / KIND.mark).exists():
        return {}
    try:
        facts = read_json(where / KIND.mark)["facts"]
    except (DataError, LookupError, TypeError):
        return {}
    return facts if isinstance(facts, dict) and facts.keys() >= set(FACTS) else {}


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
    """Remove a checkpoint, in one step: no half of it is ever found."""
    if where.exists():
        atomic.remove(where)
