"""How long trainings take, about: by those that ended before, or by what the running ones have done so far."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results import records
from negbench.benchmark.results.records import RUNS


class Kind(NamedTuple):
    """Trainings that take about as long."""

    dataset: str
    method: str
    memory: int
    recipe_hash: str


def kind_of(config: RunConfig) -> Kind:
    return Kind(config.dataset, config.method, config.memory, config.recipe_hash)


def recorded_times(datasets: Iterable[str]) -> tuple[dict[Kind, list[float]], set[str]]:
    """Seconds of the trainings that are recorded, and the digests of their cells.

    Records that cannot be read tell nothing.
    """
    found: dict[Kind, list[float]] = defaultdict(list)
    there = set()
    for dataset in datasets:
        for folder in records.folders(RUNS / dataset)[0]:
            try:
                record = records.read(folder)
            except NoDataError:
                continue
            if record.config is not None and record.cost is not None:
                found[kind_of(record.config)].append(record.cost.wall_s)
                there.add(record.config.hash)
    return found, there


@dataclass
class Times:
    """What trainings took, in seconds."""

    before: Mapping[Kind, Sequence[float]] = field(default_factory=dict)
    """By their records."""
    now: dict[Kind, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Of those that ended under our eyes."""

    def guess(self, kind: Kind, running: Sequence[float] = ()) -> float | None:
        """Of its like that ended now, else before; else of all that ended now; else of the ``running`` ones, as their
        own progress says; None where nothing tells."""
        ended = [seconds for some in self.now.values() for seconds in some]
        known = next((some for some in (self.now.get(kind), self.before.get(kind), ended, running) if some), None)
        return fmean(known) if known else None


@dataclass
class Pace:
    """How fast one that runs is: epochs, or trials, and when they were seen."""

    began: float
    seen: list[float] = field(default_factory=list)

    def add(self, count: int, now: float) -> None:
        """So many more."""
        self.seen += [now] * count

    def whole(self, of: int) -> float | None:
        """Seconds for ``of`` of them; None before the first.

        What comes before the first one is not counted, if there is more to go by.
        """
        if not self.seen:
            return None
        first, last = self.seen[0], self.seen[-1]
        later = len(self.seen) - self.seen.count(first)
        return (last - first) / later * of if later else (last - self.began) / len(self.seen) * of

    def left(self, number: int, of: int, now: float) -> float | None:
        """Seconds until the last, where ``number`` was the latest."""
        rest = self.whole(of - number)
        return None if rest is None else max(rest - (now - self.seen[-1]), 0.0)


def left_in_all(running: Sequence[float | None], waiting: Sequence[float | None]) -> float | None:
    """Seconds until all is done, if as many run together as do now; None where one of them is not known."""
    known = [each for each in (*running, *waiting) if each is not None]
    if not running or len(known) < len(running) + len(waiting):
        return None
    return max(sum(known) / len(running), *known)
