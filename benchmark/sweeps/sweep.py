"""Many cells, several at a time, each in a process of its own that writes a log."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from negbench.benchmark.recipe.flags import parse_changes, resolve
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.sweeps.processes import Children, ended_by_signals
from negbench.pipelines.files import digest

LOGS = Path(".bench") / "logs"
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
"""Names that can be those of a file as they are."""


@dataclass(frozen=True)
class PlannedCell:
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
    def log(self) -> str:
        """Name of its log: one part of a path, whatever the cell is called."""
        name = self.name.replace(" ", "-")
        if not PLAIN.fullmatch(name):
            name = f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)[:150].lstrip('.')}-{digest(self.name)[:8]}"
        return f"{name}.log"

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

    cell: PlannedCell
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
) -> list[PlannedCell]:
    """Every combination, once; seeds change slowest, so that a sweep cut short has whole comparisons."""
    every = product(seeds, datasets, memories, methods)
    plan = [
        PlannedCell(method, dataset, seed, memory, tuple(changes), force) for seed, dataset, memory, method in every
    ]
    return list(dict.fromkeys(plan))


def run(plan: Sequence[PlannedCell], jobs: int, finished: Callable[[Done], Any]) -> list[Done]:
    """Run the cells, ``jobs`` at a time; calls ``finished`` after each. An interrupt ends the running ones."""
    LOGS.mkdir(parents=True, exist_ok=True)
    children = Children()

    def one(cell: PlannedCell) -> Done:
        path = LOGS / cell.log
        with path.open("wb") as log:
            code = children.run(cell.command, log)
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return Done(cell, code, lines[-1] if lines else "", path)

    done = []
    with ThreadPoolExecutor(jobs) as pool, ended_by_signals():
        futures = [pool.submit(one, cell) for cell in plan]
        try:
            for future in as_completed(futures):
                done.append(future.result())
                finished(done[-1])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.end()
            raise
        finally:
            children.close()
    return done
