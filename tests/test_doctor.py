"""``bench doctor``: what it finds, what it advises, and that it changes nothing."""

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import bench
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.sweeps import cell, health
from negbench.benchmark.training.watcher import Watcher
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore, digest_of, digests

Usage = namedtuple("Usage", "total used free")
CONFIG = RunConfig(method="fne", dataset="tiny", encoder="made+up", epochs=2, batch=32, memory=0, dim=8)
FOLDER = Path("runs/tiny/fne/seed-0")
PARAMS = "datasets: [tiny]\nencoders: {tiny: made+up}\nmethods: [fne]\nseeds: [0]\nrecipe: {}\nsettings: {}\n"


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with nothing else to do, and room."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**12))


@pytest.fixture
def recorded(tiny: tuple[Manifest, FeatureStore]) -> Path:
    cell.run(CONFIG, FOLDER, *tiny, Watcher())
    Path("params.yaml").write_text(PARAMS)
    return Path.cwd()


def found() -> dict[str, Any]:
    done = bench("doctor", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    content = json.loads(done.stdout)
    assert isinstance(content, dict)
    return content


def test_a_good_project_has_nothing_to_do(recorded: Path) -> None:
    before = {path: path.read_bytes() for path in recorded.rglob("*") if path.is_file()}
    told = found()
    assert (told["records"], told["stale"], told["left_out"], told["advice"]) == (1, [], {}, [])
    assert told["datasets"] == {"tiny": "ready: made+up"}
    assert {"python", "torch", "dvc", "negbench"} <= told["versions"].keys()
    assert told["extras"]["offline"] is not None
    assert "dev" not in told["extras"]
    assert told["devices"][0] == "cpu"
    assert told["threads"]["cpus"] >= 1
    assert told["disk"] == {"free": 1000.0, "total": 1000.0}
    done = bench("doctor")
    assert done.stdout.endswith("nothing to do\n")
    assert "datasets:      tiny (ready: made+up)\n" in done.stdout
    assert {path: path.read_bytes() for path in recorded.rglob("*") if path.is_file()} == before


def test_an_empty_folder_is_told_how_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert found()["advice"] == ["there is no params.yaml here: bench init begins a project"]
    assert bench("init").exit_code == 0
    assert found()["advice"] == ["scenes is not prepared: bench features --dataset scenes does it, and encodes it"]


def test_what_is_other_by_now_is_stale(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "code_hash", lambda config: "other")
    path = Path("features/tiny/made+up/features.json")
    np.save(path.with_name("val_images.npy"), np.zeros((10, 12), dtype=np.float32))  # encoded anew
    files = digests(path.parent)
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": files, "hash": digest_of(files)}))
    told = found()
    assert told["stale"] == [{"folder": str(FOLDER), "why": ["features", "code"]}]
    assert told["advice"][0].startswith(f"1 record ({FOLDER}): made of other features than that of now; tables show")
    assert told["advice"][1].startswith(f"1 record ({FOLDER}): made by other code than that of now;")
    path.unlink()  # nothing can be told of what is not there
    assert found()["stale"] == [{"folder": str(FOLDER), "why": ["code"]}]


def test_what_no_table_takes_is_told(recorded: Path) -> None:
    (FOLDER / "ranks.npz").write_bytes(b"")
    told = found()
    assert told["records"] == 0
    assert list(told["left_out"]) == [str(FOLDER)]
    assert told["advice"] == [f"1 record ({FOLDER}): in no table; bench leaderboard says why"]


def test_faults_of_a_project_are_advice(recorded: Path) -> None:
    Path("params.yaml").write_text("methods: [hardes]\n")
    Path("data/half.yaml").write_text("format: [\n")
    project, dataset = found()["advice"]
    assert project == "params.yaml: methods: unknown method 'hardes'; did you mean 'hardest'?"
    assert dataset.startswith("half is broken: data/half.yaml:")


def test_a_busy_or_a_full_machine_is_told(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (10**4, 0.0, 0.0))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**9))
    full, busy = found()["advice"]
    assert full == "1.0 GB are free here: make room before a sweep"
    assert busy.startswith("the machine is busy (load 10000 on ")
