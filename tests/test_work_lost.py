"""Nothing that took long is done twice: features on other disks, kills at the last step, two at once."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_atomic import kill_at, no_exchange

from pipelines import atomic, features, prepare
from pipelines.encoding import Stage
from pipelines.locks import alone
from pipelines.manifest import Manifest
from pipelines.store import FeatureStore

BENCH = [sys.executable, "-P", "-m", "benchmark.cli"]
STORE = Path("features/my/precomputed+ngrams")
MEMORY = Path("/dev/shm")
"""A disk of its own, where the system has one."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory with dataset ``my``: three splits of 12 precomputed vectors, two captions each."""
    place = tmp_path / "project"
    place.mkdir()
    monkeypatch.chdir(place)
    plain = Path("plain")
    plain.mkdir()
    for part in ("train", "dev", "test"):
        np.save(plain / f"{part}_ims.npy", np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32))
        (plain / f"{part}_caps.txt").write_text("".join(f"{part} caption {k}\n" for k in range(24)))
    prepare.add("my", plain)
    return place


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    if not MEMORY.is_dir() or MEMORY.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip("there is no second disk here")
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    yield folder
    shutil.rmtree(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def good(folder: Path) -> str:
    """The hash of a store, all of which could be read."""
    store = FeatureStore(folder, Manifest.read(Path("data/my")).hash)
    for split in ("train", "val", "test"):
        assert len(store.split(split).captions) == 24
    return store.hash


# --- Features -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["features", "features/my", "features/my/precomputed+ngrams"])
def test_features_on_another_disk_are_made_there(project: Path, elsewhere: Path, link: str) -> None:
    Path(link).parent.mkdir(parents=True, exist_ok=True)
    Path(link).symlink_to(elsewhere / "there")
    if link != str(STORE):
        (elsewhere / "there").mkdir()
    for force in (False, True):
        good(features.make("my", force=force))
        assert Path(link).is_symlink()
        assert STORE.stat().st_dev == elsewhere.stat().st_dev
        assert not [*project.rglob("*.work"), *elsewhere.rglob("*.work")]


def force_killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> int:
    """``features --force`` in another process, killed at the ``step``-th change after all is encoded; how it ended."""
    complete = features._complete

    def last(*words: object) -> None:
        kill_at(monkeypatch, step)
        complete(*words)

    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(features, "_complete", last)
            features.make("my", force=True)
        finally:
            os._exit(sys.exc_info()[0] is not None)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize(
    ("first", "old", "exchange"), [(1, True, True), (3, True, False), (5, False, True), (7, False, False)]
)
def test_killed_at_any_step_after_encoding_nothing_is_encoded_again(
    project: Path, monkeypatch: pytest.MonkeyPatch, first: int, old: bool, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(atomic, "_exchange", no_exchange)
    expected = contents(features.make("my"))
    info = json.loads(expected["features.json"])
    former = expected | {"features.json": json.dumps({**info, "hash": "of an older one"}).encode()}
    ended, step = -1, first
    while ended != 0:
        shutil.rmtree("features")
        if old:
            STORE.mkdir(parents=True)
            for name, content in former.items():
                (STORE / name).write_bytes(content)
        ended = force_killed_at(monkeypatch, step)
        assert ended in (0, signal.SIGKILL), step
        if old:
            assert good(atomic.whole(STORE)) in (info["hash"], "of an older one")
        with monkeypatch.context() as patch:
            patch.setattr(Stage, "batches", lambda *words: pytest.fail("encoded again"))
            if features.Work(STORE).folder.joinpath("state.json").exists():
                features.make("my", force=True)
        assert contents(STORE) == expected, step
        left = {path.name for path in STORE.parent.iterdir() if path.is_file() or list(path.iterdir())}
        swept_later = {name for name in left if atomic.SCRATCH.fullmatch(name)}
        assert left - swept_later == {STORE.name, f".{STORE.name}.lock"}, step
        step += 9
    assert step > 30  # the steps were really counted


def test_the_old_store_that_made_way_is_never_taken_for_finished_work(project: Path) -> None:
    made = contents(features.make("my"))
    work = features.Work(STORE)
    state = {"dataset": "my"}
    work.begin(state)
    for name, content in made.items():
        (work.store / name).write_bytes(content)
    work.finish()
    shutil.rmtree(STORE)
    (work.store / "features.json").write_text("{}")  # another one than was finished
    assert not work.finished(state)
    (work.store / "features.json").write_bytes(made["features.json"])
    (work.store / "train_images.npy").write_bytes(b"cut off")
    assert not work.finished(state)
    (work.store / "train_images.npy").write_bytes(made["train_images.npy"])
    assert not work.finished({"dataset": "other"})
    assert not STORE.exists()
    assert work.finished(state)
    assert contents(STORE) == made


def test_what_dvc_removes_before_a_stage_is_not_the_work(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features.make("my")
    expected = contents(STORE)

    def killed(*words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(features, "_complete", killed)
        with pytest.raises(KeyboardInterrupt):
            features.make("my", force=True)
    shutil.rmtree(STORE)
    Path("features/my.json").unlink()
    monkeypatch.setattr(Stage, "batches", lambda *words: pytest.fail("encoded again"))
    features.make("my")
    assert contents(STORE) == expected
    assert json.loads(Path("features/my.json").read_text())["encoder"] == STORE.name


def test_who_waits_for_features_says_for_whom(project: Path) -> None:
    words = [*BENCH, "features", "--dataset", "my"]
    with alone(features.Work(STORE).lock):
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert re.fullmatch(rf"features of my are being made by process {os.getpid()} since \d\d:\d\d; waiting\n", line)
        assert not STORE.exists()
    process.communicate(timeout=60)
    assert process.returncode == 0
    good(STORE)
