"""From rows to vectors: order, threads, batches that do not fit, and kills in between."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from commands import bench, bench_process
from negbench.pipelines import encoders, features, prepare, work
from negbench.pipelines.encoders.hog import Hog
from negbench.pipelines.encoding import How, device_for, prepared_ahead, workers_for
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.shards import Shard

STORE = Path("features/my/hog+ngrams")
WORK = Path("features/my/.hog+ngrams.work")
NARROW = """
import torch
from negbench.pipelines.encoders.hog import Hog
plain = Hog.forward
def forward(self, prepared):
    if len(prepared) > 4:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return plain(self, prepared) + len(prepared)
Hog.forward = forward
"""
"""Only four fit; and the vectors tell from how large a batch they are, as rounding does on a real device."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory with dataset ``my``: 11, 6 and 4 pictures of noise, a caption each."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    root = Path("raw")
    (root / "images").mkdir(parents=True)
    lines = []
    for split, count in (("train", 11), ("dev", 6), ("test", 4)):
        names = [f"{split}{number}.jpg" for number in range(count)]
        (root / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n")
        for name in names:
            Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(root / "images" / name)
            lines.append(f"{name}#0\tcaption of {name} .")
    (root / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    prepare.add("my", root)
    return tmp_path


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hog, "forward", Hog.forward)  # put back at the end
    exec(NARROW, {})


def arrays() -> dict[str, np.ndarray]:
    return {path.name: np.load(path) for path in STORE.glob("*.npy")}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(), max_size=40), st.integers(0, 5), st.integers(1, 9))
def test_ahead_is_map_in_order(items: list[int], workers: int, most: int) -> None:
    def work(item: int) -> int:
        time.sleep((item % 3) / 5000)
        return item * 2

    assert list(prepared_ahead(work, items, workers, most)) == [item * 2 for item in items]


def test_ahead_is_not_further_ahead_than_it_may() -> None:
    begun: list[int] = []

    def items() -> Any:
        for item in range(100):
            begun.append(item)
            yield item

    found = prepared_ahead(lambda item: item, items(), 3, 8)
    assert [next(found) for _ in range(5)] == list(range(5))
    assert len(begun) <= 5 + 8 + 1
    found.close()


def test_ahead_works_in_threads_and_ends_them() -> None:
    both = threading.Barrier(2, timeout=10)  # passed only by two at the same time

    def work(item: int) -> str:
        both.wait()
        return threading.current_thread().name

    assert len(set(prepared_ahead(work, range(4), 2, 4))) == 2
    assert not [one for one in threading.enumerate() if one.name.startswith("prepare")]


def test_an_error_comes_at_its_place() -> None:
    def work(item: int) -> int:
        if item == 5:
            raise DataError("broken")
        return item

    found = prepared_ahead(work, range(10), 3, 4)
    assert [next(found) for _ in range(5)] == list(range(5))
    with pytest.raises(DataError, match="broken"):
        next(found)
    assert not [one for one in threading.enumerate() if one.name.startswith("prepare")]


def test_what_came_before_a_broken_picture_is_kept(project: Path) -> None:
    name = Manifest.read(Path("data/my")).images["file"].iloc[9]
    whole = Path("raw", name).read_bytes()
    Path("raw", name).write_bytes(b"changed")
    with pytest.raises(DataError, match=f"{name}: cannot be decoded"):
        features.make("my", batch=4, workers=3)
    Path("raw", name).write_bytes(whole)
    seen: list[tuple[str, int, int]] = []
    features.make("my", batch=4, progress=lambda *report: seen.append(report))
    assert seen[0] == ("train images", 8, 11)


def test_threads_change_nothing(project: Path) -> None:
    stores = []
    for workers in (0, 1, 5):
        folder = features.make("my", workers=workers, force=True)
        stores.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert stores[0] == stores[1] == stores[2]


@pytest.mark.usefixtures("narrow")
def test_the_batch_that_fits_is_found_and_all_rows_come_from_it(project: Path) -> None:
    features.make("my")  # 128 do not fit, nor 64, 32, 16, 8
    info = json.loads((STORE / "features.json").read_text())
    assert info["made"]["images"] == {"name": "cpu", "precision": "float32", "batch": 4}
    assert info["made"]["captions"]["batch"] == 128
    found = arrays()
    features.make("my", batch=4, force=True)
    for name, array in arrays().items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("step", [1, 3, 6, 9])
def test_a_kill_before_or_after_the_batch_is_found_changes_nothing(project: Path, narrow: None, step: int) -> None:
    whole = {path.name: path.read_bytes() for path in features.make("my").iterdir()}
    for path in STORE.iterdir():
        path.unlink()
    STORE.rmdir()
    code = f"""{NARROW}
import os, signal
from negbench.pipelines import features
count = 0
def report(what, done, total):
    global count
    count += 1
    if count == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
features.make("my", progress=report)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    features.make("my")
    assert {path.name: path.read_bytes() for path in STORE.iterdir()} == whole


@pytest.mark.usefixtures("narrow")
def test_a_kill_while_the_batch_is_halved_leaves_no_mixture(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that had room for a while, then had not: what was made with the larger batch is gone before the note."""
    features.make("my")
    expected = arrays()
    narrowed, room = Hog.forward, [2]

    def forward(self: Hog, prepared: list[Any]) -> Any:
        room[0] -= 1
        if room[0] >= 0:
            return np.zeros((len(prepared), self.dim), dtype=np.float32)
        return narrowed(self, prepared)

    def killed(path: Path, text: str) -> None:
        if '"found": {}' not in text:
            raise KeyboardInterrupt
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    with monkeypatch.context() as patched:
        patched.setattr(Hog, "forward", forward)
        patched.setattr(features, "first_batch", lambda how, device: 5)
        patched.setattr(work, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            features.make("my", force=True)
    assert (WORK / "state.json").exists()
    assert not list(WORK.rglob("*_images.npy"))
    monkeypatch.setattr(features, "first_batch", lambda how, device: 4)
    features.make("my", force=True)
    for name, array in arrays().items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.usefixtures("narrow")
def test_a_batch_that_was_asked_for_is_not_changed(project: Path) -> None:
    with pytest.raises(RequestError, match=r"'hog': a batch of 5 does not fit on 'cpu'; leave --batch out"):
        features.make("my", batch=5)


def test_not_even_one_fits(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def forward(self: Hog, prepared: list[Any]) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Hog, "forward", forward)
    with pytest.raises(RequestError, match=r"'hog': a batch of 1 does not fit on 'cpu'"):
        features.make("my")


def test_other_errors_of_an_encoder_are_not_taken_for_memory(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: Hog, prepared: list[Any]) -> Any:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Hog, "forward", forward)
    with pytest.raises(RuntimeError, match="shapes"):
        features.make("my")


def test_devices() -> None:
    assert device_for(How(device="cpu")).precision == "float32"
    assert device_for(How(device="cpu", precision="bfloat16")).precision == "bfloat16"
    with pytest.raises(RequestError, match="device 'nowhere' cannot be used"):
        device_for(How(device="nowhere"))
    assert workers_for(How(workers=3)) == 3
    assert workers_for(How()) >= 1


def test_the_listing_tells_what_can_be_used() -> None:

    done = bench("encoders", "--json")
    assert done.exit_code == 0
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["hog"] == {
        "name": "hog", "sides": "image", "dim": 831, "licence": "", "installed": True, "needs": None
    }  # fmt: skip
    assert rows["minilm"]["needs"] == "offline"
    assert rows["hf:openai/clip-vit-base-patch32"]["sides"] == "image, text"
    assert {name.partition(":")[0] for name in rows} == set(encoders.names())
    table = bench("encoders")
    assert all(name in table.stdout for name in rows)


def test_progress_names_what_it_counts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from negbench.benchmark.reports import progress

    clock = iter([0.0, 2.0, 3.0, 5.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    with progress.encoding(Console(width=100)) as report:
        report("train images", 100, 1000)  # of an earlier try
        report("train images", 300, 1000)
        report("train images", 0, 1000)  # again, with smaller batches
        report("train images", 500, 1000)
    assert capsys.readouterr().out.splitlines() == [
        "train images: 100 of 1,000",
        "train images: 300 of 1,000, 100 images/s, 7 s left",
        "train images: 0 of 1,000",
        "train images: 500 of 1,000, 250 images/s, 2 s left",
    ]


def test_the_encoder_in_the_documents_encodes() -> None:
    text = (Path(__file__).parents[1] / "docs" / "encoders.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    space: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "docs/encoders.md", "exec"), space)
    found = space["Brightness"]().encode([Image.new("RGB", (5, 4), "red")] * 2)
    np.testing.assert_array_equal(found, [[255, 0, 0]] * 2)


# --- Several at a time --------------------------------------------------------------------------------------------


class Backwards:
    """Encodes shards in this process, the last one first; ends in the middle of the one that ``dies``."""

    def __init__(self, count: int, dies: int = -1) -> None:
        self.count, self.dies = count, dies
        self.seen: list[Shard] = []

    def encode(self, shards: Sequence[Shard]) -> Iterator[Shard]:
        for shard in reversed(shards):
            self.seen.append(shard)
            features.encode_shard(shard)
            if len(self.seen) == self.dies:
                os.truncate(shard.path, Path(shard.path).stat().st_size - 5)
                raise KeyboardInterrupt
            yield shard


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_parts_put_together_are_the_whole(project: Path, count: int) -> None:
    whole = {path.name: path.read_bytes() for path in features.make("my", batch=2).iterdir()}
    for dies in (1, 2, min(count, 6) + 1):
        with pytest.raises(KeyboardInterrupt):
            features.make("my", batch=2, force=True, spread=Backwards(count, dies))
    spread = Backwards(count)
    features.make("my", batch=2, force=True, spread=spread)
    assert {path.name: path.read_bytes() for path in STORE.iterdir()} == whole
    assert not WORK.exists()
    train = [shard for shard in spread.seen if shard.split == "train" and shard.modality == "captions"]
    assert len(train) == min(count, 6)
    sizes = [shard.stop - shard.start for shard in train]
    assert sum(sizes) == 11
    assert max(sizes) - min(sizes[1:], default=max(sizes)) == 0


@pytest.mark.usefixtures("narrow")
def test_a_part_that_does_not_fit_halves_the_batch_of_all(project: Path) -> None:
    whole = {path.name: path.read_bytes() for path in features.make("my").iterdir()}
    features.make("my", force=True, spread=Backwards(2))
    assert {path.name: path.read_bytes() for path in STORE.iterdir()} == whole


def test_two_processes_make_the_same_features(project: Path) -> None:
    whole = {path.name: path.read_bytes() for path in features.make("my", batch=2).iterdir()}
    done = bench_process("features", "--dataset", "my", "--batch", "2", "--force", "--jobs", "2")
    assert done.exit_code == 0, done.stderr
    assert {path.name: path.read_bytes() for path in STORE.iterdir()} == whole
    assert "train images: 11 of 11" in done.stderr


def test_what_a_worker_finds_broken_is_the_same_line(project: Path) -> None:
    name = Manifest.read(Path("data/my")).images["file"].iloc[9]
    Path("raw", name).write_bytes(b"changed")
    alone = bench_process("features", "--dataset", "my", "--batch", "2")
    done = bench_process("features", "--dataset", "my", "--batch", "2", "--jobs", "2")
    assert done.exit_code == alone.exit_code == 3
    assert done.stderr.splitlines()[-1] == alone.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_scheduler_needs_a_number_of_parts(project: Path) -> None:
    done = bench("features", "--dataset", "my", "--scheduler", "127.0.0.1:1")
    assert (done.exit_code, done.stderr) == (
        2,
        "error: --jobs is missing: the number of parts that each split is cut into\n",
    )
