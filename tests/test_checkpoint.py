"""A training that is cut short at any moment goes on, and ends as if nothing had been."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import BENCH, bench
from negbench import methods
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.training.checkpoint import FACTS, Checkpoint
from negbench.benchmark.training.loop import Trained, train
from negbench.benchmark.training.saving import Saving, Signals
from negbench.benchmark.training.watcher import Watcher
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth
from together import texts

Tiny = tuple[Manifest, FeatureStore]
FACTS_OF_ONE = {name: name for name in FACTS}
SMALL = ["--dataset", "small", "--epochs", "6", "--batch", "32", "--memory", "64", "--set", "dim=8"]


class Killed(BaseException):
    """As a kill, for a training in this process."""


class Killing(Watcher):
    """Ends the training after so many steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def step(self, epoch: int, step: int, steps: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def said(self, line: str) -> None:
        self.line = line


def config(method: str, **changes: Any) -> RunConfig:
    recipe: dict[str, Any] = {"epochs": 3, "batch": 16, "memory": 24, "dim": 8, "checkpoint_minutes": 1e-9}
    return RunConfig(method=method, dataset="tiny", encoder="made+up", **(recipe | changes))


def trained(cell: RunConfig, tiny: Tiny, watcher: Watcher, where: Path | None) -> Trained:
    manifest, store = tiny
    some = texts(manifest) if "words" in methods.get(cell.method).needs else None
    checkpoint = None if where is None else Checkpoint(where, FACTS_OF_ONE, watcher.said)
    return train(cell, store, Truth.read(manifest_folder("tiny")), watcher, some, checkpoint)


def assert_equal(one: Trained, other: Trained) -> None:
    for name in ("task", "start"):
        a, b = getattr(one, name).state_dict(), getattr(other, name).state_dict()
        assert a.keys() == b.keys()
        assert [key for key, value in a.items() if not torch.equal(value, b[key])] == []
    timed = ("seconds", "pairs_per_s", "ms_")
    rows = [
        [{name: value for name, value in row.items() if not name.startswith(timed)} for row in each.history]
        for each in (one, other)
    ]
    assert rows[0] == rows[1]
    for name in ("best_epoch", "validation", "collapsed", "false_negative_rate"):
        assert getattr(one, name) == getattr(other, name), name
    for a, b in zip(one.similarities, other.similarities, strict=True):
        assert {kind: counts.tolist() for kind, counts in a.items()} == {kind: c.tolist() for kind, c in b.items()}


@pytest.mark.parametrize("name", methods.names())
def test_every_method_goes_on_as_if_nothing_had_been(name: str, tiny: Tiny) -> None:
    """7 steps an epoch: killed in the warm-up, in the method's first epoch, and right after an epoch."""
    cell = config(name, dropout=0.3)
    whole = trained(cell, tiny, Watcher(), None)
    for after in (4, 7, 2, 9):
        with pytest.raises(Killed):
            trained(cell, tiny, Killing(after), Path("saved"))
    assert_equal(trained(cell, tiny, Watcher(), Path("saved")), whole)
    assert_equal(trained(cell, tiny, Killing(1), Path("saved")), whole)  # it is over: no step is trained


@pytest.mark.parametrize(
    "changes",
    [
        {"memory": 0},
        {"precision": "bfloat16"},
        {"precision": "float16"},
        {"schedule": "cosine", "rise": 0.3},
        {"decays": (1, 2)},
        {"memory_start": "random", "memory_precision": "float16"},
        {"micro_batch": 5},
        {"positives": "oracle"},
        {"image_tower": "mlp", "text_tower": "mlp", "hidden": 8},
    ],
)
def test_every_kind_of_recipe_goes_on_as_if_nothing_had_been(changes: dict[str, Any], tiny: Tiny) -> None:
    cell = config("fne", **changes)
    whole = trained(cell, tiny, Watcher(), None)
    with pytest.raises(Killed):
        trained(cell, tiny, Killing(11), Path("saved"))
    assert_equal(trained(cell, tiny, Watcher(), Path("saved")), whole)


def test_a_checkpoint_is_written_when_it_is_time_and_after_each_epoch(tiny: Tiny) -> None:
    class Counting(Checkpoint):
        saved: list[tuple[int, int]] = []  # noqa: RUF012

        def save(self, training: Any) -> None:
            self.saved.append((training.progress.epoch, training.progress.step))

    now = iter(range(0, 10**6, 50))  # seconds, as the clock is asked
    cell, (_, store) = config("hardest", checkpoint_minutes=2), tiny
    from negbench.benchmark.training.loop import Training, prepare

    prepare(cell)
    training = Training(cell, store, None)
    checkpoint = Counting(Path("saved"), FACTS_OF_ONE)
    training.run(Watcher(), Saving(training, checkpoint, Signals(), clock=lambda: float(next(now))))
    assert [step for epoch, step in checkpoint.saved if step == 0] == [0] * 3
    inside = [(epoch, step) for epoch, step in checkpoint.saved if step]
    assert inside[:3] == [(0, 3), (0, 6), (1, 3)]  # every third time that it looks, and anew after an epoch


@pytest.mark.parametrize(
    ("name", "said"),
    [("code_hash", "is of other code: the training begins anew"), ("config_hash", "another configuration")],
)
def test_a_checkpoint_of_another_cell_is_refused_in_words(name: str, said: str, tiny: Tiny) -> None:
    cell = config("hardest")
    with pytest.raises(Killed):
        trained(cell, tiny, Killing(9), Path("saved"))
    lines: list[str] = []
    other = Checkpoint(Path("saved"), FACTS_OF_ONE | {name: "another"}, lines.append)
    train(cell, tiny[1], None, checkpoint=other)
    assert len(lines) == 1
    assert said in lines[0]


def cut(folder: Path) -> None:
    file = folder / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def turn_a_bit(folder: Path) -> None:
    file = folder / "checkpoint.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def told(**change: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = folder / "checkpoint.json"
        content = json.loads(file.read_text()) | change
        file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return damage


DAMAGES = {
    "cut": cut,
    "a bit": turn_a_bit,
    "no processes": told(processes=None),
    "no progress": told(progress=None),
    "other progress": told(progress={"epochs": 1}),
    "seconds": told(seconds="long"),
    "no digest": told(tensors=None),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_refused_in_words(damage: Callable[[Path], None], tiny: Tiny) -> None:
    cell = config("hardest")
    whole = trained(cell, tiny, Watcher(), None)
    with pytest.raises(Killed):
        trained(cell, tiny, Killing(9), Path("saved"))
    damage(Path("saved"))
    watcher = Killing(0)
    assert_equal(trained(cell, tiny, watcher, Path("saved")), whole)
    assert "damaged" in watcher.line


# --- Real processes ---------------------------------------------------------------------------------------------------


def record(folder: Path) -> tuple[Any, ...]:
    content = json.loads((folder / "run.json").read_text())
    with np.load(folder / "ranks.npz", allow_pickle=False) as file:
        ranks = {name: file[name].tolist() for name in file.files}
    weights = [(folder / f"{name}.safetensors").read_bytes() for name in ("model", "method")]
    return content["metrics"], content["audit"], ranks, weights


def test_killed_at_ten_moments_it_ends_bit_equal(small_project: Path) -> None:
    words = ["run", "--method", "fne", *SMALL, "--epochs", "30", "--set", "checkpoint_minutes=0.0001"]
    assert bench(*words, "--out", "whole").exit_code == 0
    lot = random.Random(0)
    killed = 0
    while killed < 10:
        started = subprocess.Popen(
            [*BENCH, *words, "--out", "cut"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        found = Path(".bench/checkpoints")
        before = {path: path.stat().st_mtime_ns for path in found.glob("*/checkpoint.json")}
        until = time.monotonic() + 60
        while started.poll() is None and time.monotonic() < until:
            now = {path: path.stat().st_mtime_ns for path in found.glob("*/checkpoint.json") if path.exists()}
            if now != before:
                break
            time.sleep(0.005)
        time.sleep(lot.uniform(0, 0.1))
        if started.poll() is None:
            os.kill(started.pid, signal.SIGKILL)
            killed += 1
        started.wait()
        assert not Path("cut/run.json").exists()  # else there is nothing left to kill: make it longer
    done = bench(*words, "--out", "cut")
    assert done.exit_code == 0, done.output
    assert record(Path("cut")) == record(Path("whole"))
    assert not list(Path(".bench").glob("checkpoints/*"))  # nothing is left of a cell that stands


def test_a_preempted_training_writes_its_checkpoint_first(small_project: Path) -> None:
    words = ["run", "--method", "fne", *SMALL, "--epochs", "3000", "--out", "cut"]
    started = subprocess.Popen([*BENCH, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    marks = Path(".bench/checkpoints")
    until = time.monotonic() + 60
    while not list(marks.glob("*/checkpoint.json")):
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(0.2)
    started.send_signal(signal.SIGTERM)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130, said
    other = subprocess.Popen([*BENCH, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert other.stderr is not None
    lines = []
    for line in other.stderr:
        lines.append(line)
        if line.startswith("epoch"):
            break
    other.kill()
    other.communicate()
    assert any("going on from .bench" in line for line in lines), lines
