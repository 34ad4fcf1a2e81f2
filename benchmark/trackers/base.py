"""The interface of a tracker: a watcher of one training that passes on what it is told to a tool which keeps runs.

A tracker's file in this folder imports its package inside its methods alone, so that no tool is imported before it is
asked for. A package of somebody else's offers one in the entry-point group ``negbench.trackers``. Whatever a tracker
raises is told in a line, and its training goes on without it.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from negbench.benchmark.training.watcher import History, Watcher

ROOM = Path("tracked")
"""Where trackers keep runs that are told nothing else."""
EVERY = 10
"""Steps between two samples."""
Axis = Literal["step", "epoch"]
Status = Literal["done", "collapsed", "failed", "interrupted"]


@dataclass(frozen=True)
class TrackedCell:
    """A cell as a tracker is told of it, before it is trained."""

    name: str
    """Parts of a path: ``scenes/fne/seed-0``."""
    started: str
    """UTC, in signs that a folder may have: a cell that is trained again is another run."""
    settings: Mapping[str, Any]
    """The whole configuration: recipe, method and where it runs; plain values of JSON."""

    @property
    def project(self) -> str:
        return "negbench"

    @property
    def folder(self) -> str:
        """Of this run, below the one of the tool."""
        return f"{self.name}/{self.started}"

    def flat(self) -> dict[str, str | float]:
        """The settings by one name each, ``settings.tau_false``; what is neither number nor text is written as JSON."""
        found: dict[str, str | float] = {}
        for key, value in self.settings.items():
            inside = value if isinstance(value, dict) else {"": value}
            for name, each in inside.items():
                plain = each if isinstance(each, str | int | float) else json.dumps(each)
                found[f"{key}.{name}" if name else key] = plain
        return found


class Tracker(Watcher, ABC):
    """One run at a tool. Values are passed on at the end of each epoch: what a tool takes is in no step's time."""

    package: ClassVar[str]
    """What must be installed; the extra of negbench that brings it has the name of the tracker."""
    every = EVERY

    def __init__(self) -> None:
        self._samples: list[tuple[int, History]] = []

    def sample(self, step: int, values: History) -> None:
        self._samples.append((step, values))

    def epoch(self, row: History) -> None:
        self.pass_on()
        self.values("epoch", int(row["epoch"]) + 1, {name: value for name, value in row.items() if name != "epoch"})

    def pass_on(self) -> None:
        """Pass on the samples since the last time."""
        samples, self._samples = self._samples, []
        for step, values in samples:
            self.values("step", step, values)

    @abstractmethod
    def begin(self, cell: TrackedCell) -> str:
        """Begin a run with its recipe; returns where it can be looked at."""

    @abstractmethod
    def values(self, axis: Axis, number: int, values: History) -> None:
        """Figures of a step or an epoch of the whole training; both count from 1."""

    @abstractmethod
    def figure(self, name: str, picture: Path) -> None:
        """A picture, as PNG."""

    @abstractmethod
    def artefact(self, files: Sequence[Path]) -> None:
        """Files of the record."""

    @abstractmethod
    def end(self, status: Status, metrics: History) -> None:
        """The last call: how it ended, and the metrics of the test split, ``rsum`` among them; none where it failed."""
