"""Workers of dask: what they run is what a process of its own runs, and whatever dies, nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from commands import BENCH, bench, bench_process
from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.flags import parse_changes, resolve
from negbench.benchmark.speed.environment import environment
from negbench.benchmark.sweeps.engine.checks import Requirements, complaints, wanted_for
from negbench.benchmark.sweeps.engine.cluster import address_of, local
from negbench.benchmark.sweeps.engine.crew import DiedError, Job
from negbench.benchmark.sweeps.engine.job import Place
from negbench.benchmark.sweeps.engine.where import Where

CHANGES = ["batch=32", "hidden=8", "dim=8"]
SMALL = [word for change in CHANGES for word in ("--set", change)]
SWEEP = ["sweep", "--datasets", "small", "--memory", "64", *SMALL]
SHORT, LONG, ENDLESS = (["--set", f"epochs={count}"] for count in (2, 40, 20000))


def wait_until(said: Callable[[], Any], seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while not (found := said()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def numbers(folder: Path) -> dict[str, Any]:
    """All of a record that a training decides."""
    record = json.loads((folder / "run.json").read_text())
    kept = ("metrics", "validation", "best_epoch", "false_negative_rate", "audit", "ranks_sha256", "others", "error")
    files = {name: told for name, told in record["files"].items() if name.endswith(("safetensors", "ranks.npz"))}
    return {key: record[key] for key in kept} | {"files": files}


def recorded(project: Path) -> dict[str, dict[str, Any]]:
    """The numbers of all cells but the one that was there before."""
    found = {
        str(path.parent.relative_to(project)): path.parent for path in project.glob("runs/small/*+*/seed-*/run.json")
    }
    return {name: numbers(folder) for name, folder in found.items()}


@contextmanager
def dask(*words: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A process of dask's own command."""
    command = [sys.executable, "-P", "-W", "ignore", "-m", "distributed.cli." + words[0], *words[1:]]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Path]:
    """A scheduler's file."""
    file = tmp_path / "scheduler.json"
    with starting(file):
        wait_until(file.exists)
        yield file


def starting(file: Path) -> Any:
    """A scheduler that writes its file."""
    here = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
    return dask("dask_scheduler", *here, "--scheduler-file", str(file))


def worker(scheduler: Path, *words: str) -> Any:
    return dask("dask_worker", "--scheduler-file", str(scheduler), "--no-nanny", "--no-dashboard", *words)


def one_thread(scheduler: Path) -> Any:
    return worker(scheduler, "--nthreads", "1", "--memory-limit", "0")


# --- This machine -------------------------------------------------------------------------------------------------


def test_a_cell_is_the_same_after_others_in_one_worker(small_project: Path) -> None:
    methods = ["random", "info-nce", "fne"]
    done = bench_process(*SWEEP, *SHORT, "--methods", ",".join(methods), "--seeds", "1")
    assert done.exit_code == 0, done.stderr
    together = recorded(small_project)
    assert len(together) == 3
    for method in methods:
        words = ["run", "--dataset", "small", "--memory", "64", *SMALL, *SHORT, "--method", method, "--force"]
        assert bench_process(*words).exit_code == 0
    assert recorded(small_project) == together


def test_a_job_whose_workers_die_is_given_up_and_the_others_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    jobs = [Job("dies", os._exit, (3,)), *(Job(f"lives {k}", abs, (-k,)) for k in range(4))]
    with local([{}, {}], said.append) as (crew, _):
        ended = {job.key: outcome for job, outcome in crew.run(jobs)}
    died = ended.pop("dies")
    assert isinstance(died, DiedError)
    assert str(died) == "3 workers died while they were at it"
    assert ended == {f"lives {k}": k for k in range(4)}
    assert said.count("dies: its worker died; another goes on with it") == 2


def test_a_client_that_lost_touch_asks_again_and_counts_no_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As dask does when its connection breaks: it cancels what the client waits for, and the worker goes on."""
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    with local([{}], said.append) as (crew, _):

        def lose_touch() -> None:
            for _ in range(4):  # more often than a job may see its worker die
                number = wait_until(lambda: crew._running and crew._given)
                for _, future in list(crew._running.values()):
                    future.cancel(force=True)
                while crew._given == number:
                    time.sleep(0.05)

        losing = threading.Thread(target=lose_touch, daemon=True)
        losing.start()
        ended = [outcome for _, outcome in crew.run([Job("slow", time.sleep, (3,))])]
        losing.join()
    assert ended == [None]
    assert said == ["slow: its worker was not heard; it is asked again"] * 4


def test_all_that_listens_does_so_on_the_loopback_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    monkeypatch.chdir(tmp_path)
    before = {one.laddr for one in psutil.Process().net_connections("inet") if one.status == "LISTEN"}
    with local([{}], print) as (crew, _):
        assert [outcome for _, outcome in crew.run([Job("any", abs, (-1,))])] == [1]
        found = [
            one for each in [psutil.Process(), *psutil.Process().children()] for one in each.net_connections("inet")
        ]
        listening = {one.laddr for one in found if one.status == "LISTEN"} - before
    assert len(listening) >= 3  # scheduler, its dashboard, a worker
    assert {place.ip for place in listening} == {"127.0.0.1"}


def test_workers_that_cannot_begin_are_told_and_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    broken = tmp_path / "broken" / "distributed.py"
    broken.parent.mkdir()
    broken.write_text("raise SystemExit('no distributed here')")
    with (
        local([{"PYTHONPATH": f"{broken.parent}:{environment()['PYTHONPATH']}"}], print) as (crew, _),
        pytest.raises(BenchError, match="the workers end before they begin: no distributed here"),
    ):
        list(crew.run([Job("any", abs, (1,))]))


@pytest.mark.parametrize("jobs", [None, 2])
def test_gpus_are_dealt_out(monkeypatch: pytest.MonkeyPatch, jobs: int | None) -> None:
    from negbench.benchmark.training import devices

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    changes = parse_changes(["device=cuda", "memory=4096"])
    configs = [resolve({"method": "fne", "dataset": "x", "encoder": "a+b", "seed": k}, changes) for k in range(9)]
    said: list[str] = []
    with pytest.raises(BenchError, match="device 'cuda' cannot be used here"):
        Where(jobs).surroundings(configs, said.append)
    monkeypatch.setattr(devices, "count", lambda: 2)
    monkeypatch.setattr(devices, "room_of", lambda device: 10**9)
    seen = [one["CUDA_VISIBLE_DEVICES"] for one in Where(jobs, per_gpu=2).surroundings(configs, said.append)]
    assert seen == (["0", "1", "0", "1"] if jobs is None else ["0", "1"])
    assert not said
    assert len(Where(8).surroundings(configs, said.append)) == 2
    assert said == ["2 GPUs here: 2 at a time; --per-gpu packs more"]
    with pytest.raises(BenchError, match=r"--per-gpu 3: 3 cells take 1.2 GB or more, and cuda has 1.0; use less"):
        Where(jobs, per_gpu=3).surroundings(configs, said.append)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert Where(2).surroundings(configs, said.append) == [{"CUDA_VISIBLE_DEVICES": "5"}, {"CUDA_VISIBLE_DEVICES": "7"}]
    with pytest.raises(BenchError, match="--per-gpu: nothing asks for a GPU"):
        Where(jobs, per_gpu=2).surroundings([configs[0].model_copy(update={"device": "cpu"})], said.append)


# --- A scheduler of somebody's ------------------------------------------------------------------------------------


def test_a_worker_killed_in_a_cell_costs_nothing(small_project: Path, scheduler: Path) -> None:
    words = [*SWEEP, *LONG, "--methods", "random,hardest", "--seeds", "2"]
    logs = Path(".bench/logs")
    with (
        one_thread(scheduler) as one,
        one_thread(scheduler),
        subprocess.Popen([*BENCH, *words, "--scheduler", str(scheduler)], stderr=subprocess.PIPE) as sweep,
    ):
        wait_until(lambda: sum("epoch  9/40" in path.read_text() for path in logs.glob("*.log")) == 2)
        one.send_signal(signal.SIGKILL)
        assert sweep.stderr is not None
        said = sweep.stderr.read().decode()
    assert sweep.returncode == 0, said
    assert said.count("its worker died; another goes on with it") == 1
    assert sum("going on from" in path.read_text() for path in logs.glob("*.log")) == 1
    there = recorded(small_project)
    assert len(there) == 4
    assert not list(Path(".bench/engine").iterdir())
    assert bench_process(*words, "--force").exit_code == 0
    assert recorded(small_project) == there


def test_an_interrupted_sweep_ends_its_cells_on_the_workers(small_project: Path, scheduler: Path) -> None:
    words = [*SWEEP, *ENDLESS, "--methods", "random", "--seeds", "1", "--scheduler", str(scheduler)]
    log = Path(".bench/logs/small-random-memory-64-seed-0.log")
    with one_thread(scheduler):
        with subprocess.Popen([*BENCH, *words], stderr=subprocess.PIPE) as sweep:
            wait_until(lambda: log.exists() and "epoch  9" in log.read_text())
            sweep.send_signal(signal.SIGTERM)
            assert sweep.stderr is not None
            said = sweep.stderr.read().decode()
        assert sweep.returncode == 130
        assert said.endswith("interrupted\n")
        wait_until(lambda: log.read_text().endswith(": the same command goes on from there\n"))
        assert "\ninterrupted; the training is kept in .bench/checkpoints/" in log.read_text()
        assert list(Path(".bench/checkpoints").iterdir())


def test_a_worker_that_cannot_be_used_is_named(small_project: Path, scheduler: Path) -> None:
    with worker(scheduler, "--nthreads", "2"):
        done = bench_process(*SWEEP, *SHORT, "--methods", "random", "--seeds", "1", "--scheduler", str(scheduler))
    assert done.exit_code == 2
    assert "is not used: it has 2 threads; start it with --nthreads 1\n" in done.stderr
    assert done.stderr.endswith("error: the worker cannot be used\n")


def test_a_scheduler_that_ends_is_one_line(small_project: Path, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    words = [*SWEEP, *SHORT, "--methods", "random", "--seeds", "1", "--scheduler", str(file)]
    with starting(file):
        wait_until(file.exists)
        sweep = subprocess.Popen([*BENCH, *words], stderr=subprocess.PIPE, text=True)
        assert sweep.stderr is not None
        if find_spec("bokeh"):  # what the dashboard is drawn with
            assert sweep.stderr.readline().startswith("dashboard: http://")
        assert sweep.stderr.readline() == "waiting for workers\n"
    said = sweep.communicate(timeout=60)[1]
    assert sweep.returncode == 1
    assert said == "error: the scheduler is gone; what is recorded stays, and the same command goes on with it\n"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--scheduler", "127.0.0.1:1"], "error: --scheduler 127.0.0.1:1: no scheduler answers there"),
        (["--scheduler", "nowhere.json"], "error: --scheduler nowhere.json: no such file, and no address"),
        (["--scheduler", "params.yaml"], "error: --scheduler params.yaml: no file that dask scheduler wrote"),
        (["--scheduler", "127.0.0.1:1", "--jobs", "2"], "error: --scheduler: its workers are those that are there"),
        (["--set", "device=cuda"], "error: device 'cuda' cannot be used here"),
        (["--per-gpu", "2"], "error: --per-gpu: nothing asks for a GPU"),
    ],
)
def test_what_cannot_be_is_one_line(
    small_project: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], told: str
) -> None:
    monkeypatch.setattr("negbench.benchmark.sweeps.engine.cluster.CONNECT_S", 1)
    monkeypatch.setattr("negbench.benchmark.training.devices.count", lambda: 0)
    Path("params.yaml").write_text("datasets: [small]\nencoders: {small: hog+ngrams}\n")
    done = bench(*SWEEP, *SHORT, "--methods", "random", "--seeds", "1", *flags)
    assert done.exit_code == 2
    assert done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) == 1


def test_the_address_is_that_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text('{"address": "tls://10.0.0.1:8786"}')
    assert address_of(str(file)) == "tls://10.0.0.1:8786"
    assert address_of("tcp://node-1:8786") == "tcp://node-1:8786"


def test_what_a_worker_lacks_is_said(small_project: Path) -> None:
    mark = Path(".bench/mark")
    mark.touch()
    place = Place(str(small_project), str(mark))
    config = resolve({"method": "fne", "dataset": "small"}, parse_changes(CHANGES))
    wanted = wanted_for([config, config])
    assert complaints(place, wanted) == []
    assert len(wanted.configs) == 1

    def told(**other: Any) -> list[str]:
        return complaints(place, replace(wanted, **other))

    torch = dict(wanted.versions)["torch"]
    assert told(versions=(("torch", "1.0"),)) == [f"torch is {torch}, not 1.0"]
    ours = wanted.code[:8]
    assert told(code="f" * 32) == [f"its code is of another version ({ours}, not ffffffff); start it anew"]
    dataset, encoder, manifest, features = wanted.stores[0]
    assert (dataset, encoder) == ("small", "hog+ngrams")
    (line,) = told(stores=((dataset, encoder, "0" * 32, features),))
    assert line == f"data/small is another one there ({manifest[:8]}, not 00000000)"
    (line,) = told(stores=((dataset, encoder, manifest, "0" * 32),))
    assert line == f"features/small/hog+ngrams is another one there ({features[:8]}, not 00000000)"
    (line,) = told(stores=((dataset, "mean+ngrams", manifest, features),))
    assert line.startswith("features/small/mean+ngrams/features.json is missing; make it with: ")
    gpu = config.model_copy(update={"device": "cuda:77"}).model_dump_json()
    assert told(configs=(gpu,))[-1] == "device 'cuda:77' cannot be used here; cpu always can"
    assert told(configs=('{"method": "of tomorrow"}',))[0].startswith("its code is of another version")
    (line,) = complaints(replace(place, mark="other"), wanted)
    assert line.startswith(f"{small_project} is not there, or not the folder that bench runs in")
    assert isinstance(wanted, Requirements)
