"""Where the jobs of a command are to be done, as its flags say."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.sweeps.processes import ended_by_signals

if TYPE_CHECKING:
    from negbench.benchmark.sweeps.engine.crew import Crew
    from negbench.benchmark.sweeps.engine.job import Place

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Where:
    """None is as if not given."""

    jobs: int | None = None
    """At a time, on this machine."""
    per_gpu: int | None = None
    """At a time on one GPU of it."""
    scheduler: str | None = None
    """Address of a scheduler, or the file that it wrote: its workers do the jobs."""

    def __post_init__(self) -> None:
        if self.scheduler is not None and (self.jobs or self.per_gpu):
            raise BenchError("--scheduler: its workers are those that are there; leave --jobs and --per-gpu out")

    @contextmanager
    def crew(self, configs: Sequence[RunConfig], said: Callable[[str], None]) -> Iterator[tuple["Crew", "Place"]]:
        """The workers for cells, whose features are made; ``said`` is told, in a line, what happens to them.

        What would end this process at once is an interrupt inside, which ends the workers first.

        Raises:
            BenchError: no scheduler answers, or this machine has not what the cells need.
        """
        with self._opened(configs, lambda: self.surroundings(configs, said), said) as found:
            yield found

    @contextmanager
    def crew_on(self, device: str, most: int, said: Callable[[str], None]) -> Iterator[tuple["Crew", "Place"]]:
        """The workers, at most so many of this machine, for jobs on a device that are no cells; as ``crew``."""
        with self._opened([], lambda: self.dealt(device, most, said), said) as found:
            yield found

    @contextmanager
    def _opened(
        self, configs: Sequence[RunConfig], here: Callable[[], list[dict[str, str]]], said: Callable[[str], None]
    ) -> Iterator[tuple["Crew", "Place"]]:
        from negbench.benchmark.sweeps.engine.checks import wanted_for
        from negbench.benchmark.sweeps.engine.cluster import joined, local

        with ended_by_signals():
            if self.scheduler is not None:
                with joined(self.scheduler, wanted_for(configs), said) as found:
                    yield found
            else:
                with local(here(), said) as found:
                    yield found

    def surroundings(self, configs: Sequence[RunConfig], said: Callable[[str], None]) -> list[dict[str, str]]:
        """What is added to the environment of each worker here: the one GPU that it sees, where it is to have one."""
        from negbench.benchmark.training import devices

        on_gpu = [config for config in configs if config.device == "cuda"]
        if on_gpu and devices.count():
            for config in on_gpu:
                devices.check_shared(config, self.per_gpu or 1)
        return self.dealt("cuda" if on_gpu else "cpu", len(configs), said)

    def dealt(self, device: str, most: int, said: Callable[[str], None]) -> list[dict[str, str]]:
        """The same for at most so many workers that use a device; ``BenchError`` where it is not here."""
        from negbench.benchmark.training import devices

        if device != "cuda":  # cuda:1 is dealt out by who writes it
            if self.per_gpu is not None:
                raise BenchError("--per-gpu: nothing asks for a GPU; --set device=cuda does")
            return [{} for _ in range(min(self.jobs or 1, most))]
        count = devices.count()
        if not count:
            raise BenchError("device 'cuda' cannot be used here; cpu always can")
        places = count * (self.per_gpu or 1)
        jobs = self.jobs or (places if self.per_gpu else 1)
        if jobs > places:
            said(f"{count} GPU{'s' * (count > 1)} here: {places} at a time; --per-gpu packs more")
        seen = os.environ.get(VISIBLE, "").split(",") if os.environ.get(VISIBLE) else [str(n) for n in range(count)]
        return [{VISIBLE: seen[slot % count]} for slot in range(min(jobs, places, most))]
