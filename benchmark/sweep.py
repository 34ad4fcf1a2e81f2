"""Many cells, several at a time, each in a process of its own that writes a log."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmark.config import RunConfig
from benchmark.resolve import parse_changes, resolve

LOGS = Path(".bench") / "logs"


@dataclass(frozen=True)
class Cell:
    """One cell of a sweep, as arguments of ``bench run``."""

    method: str
    dataset: str
    seed: int
    memory: int | None = None
    """None leaves it to the recipe."""
    changes: tuple[str, ...] = ()
    """``key=value`` each."""
    force: bool = False

    @property
    def name(self) -> str:
        memory = "" if self.memory is None else f" memory {self.memory}"
        return f"{self.dataset} {self.method}{memory} seed {self.seed}"

    @property
    def config(self) -> RunConfig:
        flags = {"method": self.method, "dataset": self.dataset, "seed": self.seed, "memory": self.memory}
        return resolve(flags, parse_changes(self.changes))

    @property
    def command(self) -> list[str]:
        """Arguments after ``bench``."""
        words = ["run", "--method", self.method, "--dataset", self.dataset, "--seed", str(self.seed)]
        words += [] if self.memory is None else ["--memory", str(self.memory)]
        words += [word for change in self.changes for word in ("--set", change)]
        return [*words, "--force"] if self.force else words


@dataclass(frozen=True)
class Done:
    """How a cell ended: its exit code and the last line of its log."""

    cell: Cell
    code: int
    line: str
    log: Path


def cells(
    methods: Sequence[str],
    datasets: Sequence[str],
    seeds: Sequence[int],
    memories: Sequence[int | None],
    changes: Sequence[str] = (),
    force: bool = False,
) -> list[Cell]:
    """Every combination; seeds change slowest, so that a sweep cut short has whole comparisons."""
    return [
        Cell(method, dataset, seed, memory, tuple(changes), force)
        for seed, dataset, memory, method in product(seeds, datasets, memories, methods)
    ]


def run(plan: Sequence[Cell], jobs: int, finished: Callable[[Done], Any]) -> list[Done]:
    """Run the cells, ``jobs`` at a time; calls ``finished`` after each. An interrupt ends the running ones."""
    LOGS.mkdir(parents=True, exist_ok=True)
    running: list[subprocess.Popen[bytes]] = []

    def one(cell: Cell) -> Done:
        path = LOGS / f"{cell.name.replace(' ', '-')}.log"
        command = [sys.executable, "-m", "benchmark.cli", *cell.command]
        with path.open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            running.append(process)
            code = process.wait()
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return Done(cell, code, lines[-1] if lines else "", path)

    done = []
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(one, cell) for cell in plan]
        try:
            for future in as_completed(futures):
                done.append(future.result())
                finished(done[-1])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.terminate()
            raise
    return done
