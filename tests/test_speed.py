"""``bench speed`` measures what it says."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from commands import bench, bench_process
from negbench import methods
from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.speed import data_cost, pixels_cost
from negbench.benchmark.speed.method_cost import extra_bytes, extras, pairs
from negbench.benchmark.training import devices
from negbench.methods.base import Sampler
from negbench.methods.fne import FNE


@pytest.mark.parametrize("above", [0.0, 0.001, 0.3])
def test_the_share_above_the_cut_is_what_was_asked_for(above: float) -> None:
    stream = torch.Generator().manual_seed(0)
    image, text, ids, memory = pairs(128, 8192, 512, stream, above)
    method = FNE()
    for _ in range(2):  # the first step cuts by its own statistics already
        method.loss(image, text, ids, memory, stream)
    assert 1 - method.report()["cut"] == pytest.approx(above, abs=0.002 + 0.05 * above)


@pytest.mark.parametrize("name", methods.names())
def test_every_method_can_be_timed(name: str) -> None:
    stream = torch.Generator().manual_seed(0)
    image, text, ids, memory = pairs(8, 64, 16, stream)
    method = methods.get(name)()
    loss = method.loss(image, text, ids, memory, stream, extras(image, text, memory, stream))
    torch.autograd.backward(loss)
    assert loss.isfinite()


def test_extra_memory_is_what_an_action_takes() -> None:
    size = 64 * 2**20

    def action() -> None:
        torch.ones(size // 4)

    found = extra_bytes(action, "cpu")
    if found is None:
        pytest.skip("this system does not tell the peak of its memory")
    assert size * 0.95 < found < size * 1.2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_written_is_removed_where_it_is_ended(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_cost, "SCALES", {"coco": data_cost.Scale(images=8, captions=8, image_dim=4, text_dim=4)})
    monkeypatch.setattr(data_cost, "write", lambda scale, folder, dtype: os.kill(os.getpid(), number))
    done = bench("speed", "--data", "--scale", "coco", "--folder", str(tmp_path))
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (130, "interrupted")
    assert not [*tmp_path.iterdir()]


def test_pixels_are_timed_beside_the_steps_that_wait_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels_cost, "FILE", 2**22)
    monkeypatch.setattr(pixels_cost, "SECONDS", 0)
    done = bench("speed", "--data", "--pixels", "--folder", str(tmp_path), "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["images"] * 3 * found["size"] ** 2 <= 2**22
    rows = found["rows"]
    assert list(rows) == ["file", "loader", "step", "together"]
    assert found["ratio"] == rows["loader"]["ms"] / rows["step"]["ms"]
    assert all(row["images_per_s"] == pytest.approx(1e3 * found["batch"] / row["ms"]) for row in rows.values())
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "--pixels", "--recipe", "vse-inf"], "recipe 'vse-inf' does not train on pixels and texts"),
        (["--data", "--pixels", "--recipe", "nobody"], "unknown recipe 'nobody'"),
        (["--pixels", "--all"], "--pixels goes with --data"),
        (["--data", "--pixels", "--folder", "nowhere"], "nowhere"),
    ],
)
def test_pixels_that_cannot_be_timed_are_told_in_one_line(words: list[str], said: str) -> None:
    done = bench("speed", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_training_step_is_timed_by_its_parts() -> None:
    done = bench("speed", "--cell", "--method", "fne", "--threads", "1", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ratio"] == found["step_ms"] / found["product_ms"]
    assert all(found[part] > 0 for part in ("towers", "loss", "backward", "optimiser"))
    done = bench("speed", "--cell", "--recipe", "offline", "--method", "fne")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "steps are made up of towers on vectors" in done.stderr


def test_operations_of_every_method_are_counted_without_a_gpu() -> None:
    done = bench("speed", "--operations", "--memory", "1024", "--json")
    assert done.exit_code == 0, done.stderr
    rows = {row["method"]: row for row in json.loads(done.stdout)}
    with_words = {name for name in methods.names() if "words" in methods.get(name).needs}
    assert {*rows} == {*methods.names()} - with_words
    for name, row in rows.items():
        assert 10 < row["forward"] < row["all"]
        assert (row["step"] is None) == ("guide" in methods.get(name).needs)
    plain = {name: row for name, row in rows.items() if name not in ("fne", "fne-paper", "fne-info-nce")}
    samplers = {name for name in plain if issubclass(methods.get(name), Sampler)}
    assert max(plain[name]["all"] for name in samplers) <= 75
    assert max(row["step"] for row in plain.values() if row["step"]) <= 320
    assert max(row["all"] for row in rows.values()) <= 400
    done = bench("speed", "--operations", "--recipe", "pixels")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "steps are made up of towers on vectors" in done.stderr


@pytest.mark.skipif(shutil.which("g++") is None, reason="a graph on a CPU needs a compiler of C++")
def test_a_compiled_step_launches_few_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    done = bench_process("speed", "--operations", "--compiled", "--method", "fne", "--memory", "1024", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)
    assert 5 < row["compiled"] <= 30 < row["all"]
    assert row["compiled"] < row["compiled_step"] <= 80 < row["step"]
    assert bench("speed", "--compiled", "--all").exit_code == 2
    done = bench("speed", "--operations", "--method", "tags")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    monkeypatch.setenv("CXX", "no-such-compiler")
    done = bench("speed", "--operations", "--compiled")
    assert done.exit_code == 2
    assert "no 'no-such-compiler'" in done.stderr
    config = RunConfig(method="fne", dataset="scenes", encoder="hog+ngrams", compile=True)
    with pytest.raises(BenchError, match="leave compile out"):
        devices.check_cell(config)
