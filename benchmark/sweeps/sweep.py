"""Many cells, handed to workers; each writes a log."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from negbench.benchmark.errors import first_line
from negbench.benchmark.recipe.flags import parse_changes, resolve
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.sweeps.words import grid_of, methods_of
from negbench.pipelines.files import digest

if TYPE_CHECKING:
    from negbench.benchmark.sweeps.engine.crew import Crew
    from negbench.benchmark.sweeps.engine.job import Place

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
    file: Path | None = None
    """What a study found, for ``--config``."""
    track: tuple[str, ...] = ()
    """Trackers that are told."""
    said: tuple[str, ...] = ()
    """Those of its changes that other cells of the sweep do not have."""

    @property
    def name(self) -> str:
        tuned = " tuned" if self.file else ""
        memory = "" if self.memory is None else f" memory {self.memory}"
        own = "".join(f" {change}" for change in self.said)
        return f"{self.dataset} {self.method}{tuned}{memory}{own} seed {self.seed}"

    @property
    def log(self) -> str:
        """Name of its log."""
        return log_name(self.name)

    @cached_property
    def config(self) -> RunConfig:
        flags = {"method": self.method, "dataset": self.dataset, "seed": self.seed, "memory": self.memory}
        return resolve(flags, parse_changes(self.changes), self.file)

    @property
    def command(self) -> list[str]:
        """Arguments after ``bench``."""
        words = ["run", "--method", self.method, "--dataset", self.dataset, "--seed", str(self.seed)]
        words += [] if self.memory is None else ["--memory", str(self.memory)]
        words += ["--config", str(self.file)] if self.file else []
        words += [word for change in self.changes for word in ("--set", change)]
        words += [word for name in self.track for word in ("--track", name)]
        return [*words, "--force"] if self.force else words


def log_name(name: str) -> str:
    """One part of a path, whatever a cell is called."""
    plain = name.replace(" ", "-")
    if not PLAIN.fullmatch(plain):
        plain = f"{re.sub(r'[^A-Za-z0-9._-]', '_', plain)[:150].lstrip('.')}-{digest(name)[:8]}"
    return f"{plain}.log"


class Planned(Protocol):
    """Something that a worker does, as a command."""

    @property
    def name(self) -> str:
        """Which one of many."""

    @property
    def log(self) -> str:
        """Name of its log."""

    @property
    def config(self) -> RunConfig:
        """What it trains."""

    @property
    def command(self) -> list[str]:
        """Arguments after ``bench``."""


@dataclass(frozen=True)
class Done:
    """How it ended: its exit code and the last line of its log."""

    cell: Planned
    code: int
    line: str
    log: Path


def cells(
    methods: str,
    datasets: Sequence[str],
    seeds: Sequence[int],
    memories: Sequence[int | None],
    changes: Sequence[str] = (),
    force: bool = False,
    track: Iterable[str] = (),
) -> list[PlannedCell]:
    """Every combination, once; seeds change slowest, so that a sweep cut short has whole comparisons.

    ``methods`` and ``changes`` as in ``words``: a key with several values is a grid.
    """
    plan = []
    for seed, dataset, memory, way, (method, own) in product(
        seeds, datasets, memories, [*grid_of(changes)], methods_of(methods)
    ):
        said = (*(change for change in way if change not in changes), *own)
        cell = PlannedCell(method, dataset, seed, memory, (*way, *own), force, track=tuple(track), said=said)
        plan.append(cell)
    return list(dict.fromkeys(plan))


def run(
    plan: Sequence[Planned],
    crew: "Crew",
    place: "Place",
    finished: Callable[[Done], Any],
    running: Callable[[list[str]], Any],
) -> list[Done]:
    """Let a crew do it all; ``finished`` is called after each, ``running`` now and then with the names at work."""
    from negbench.benchmark.sweeps.engine.crew import Job
    from negbench.benchmark.sweeps.engine.job import Ended, last_line, run_logged

    LOGS.mkdir(parents=True, exist_ok=True)
    named = {cell.name: cell for cell in plan}
    jobs = []
    for name, cell in named.items():
        log = LOGS / cell.log
        log.write_bytes(b"")
        jobs.append(Job(name, run_logged, (cell.command, place, str(log))))
    done = []
    for job, outcome in crew.run(jobs, running):
        cell = named[job.key]
        log = LOGS / cell.log
        if isinstance(outcome, Ended):
            done.append(Done(cell, outcome.code, outcome.line, log))
        else:
            line = f"{first_line(outcome) or type(outcome).__name__}; its log ends with: {last_line(log)}"
            done.append(Done(cell, 1, line, log))
        finished(done[-1])
    return done
