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
        from negbench.benchmark.sweeps.engine.checks import wanted_for
        from negbench.benchmark.sweeps.engine.cluster import joined, local

        with ended_by_signals():
            if self.scheduler is not None:
                with joined(self.scheduler, wanted_for(configs), said) as found:
                    yield found
            else:
                with local(self.surroundings(configs, said), said) as found:
                    yield found

    def surroundings(self, configs: Sequence[RunConfig], said: Callable[[str], None]) -> list[dict[str, str]]:
        """What is added to the environment of each worker here: the one GPU that it sees, where it is to have one."""
        from negbench.benchmark.training import devices

        on_gpu = [config for config in configs if config.device == "cuda"]
        if not on_gpu:  # cuda:1 is dealt out by who writes it
            if self.per_gpu is not None:
                raise BenchError("--per-gpu: no cell asks for a GPU; --set device=cuda does")
            return [{} for _ in range(min(self.jobs or 1, len(configs)))]
        count, each = devices.count(), self.per_gpu or 1
        if not count:
            raise BenchError("device 'cuda' cannot be used here; cpu always can")
        for config in on_gpu:
            devices.check_shared(config, each)
        places = count * each
        jobs = self.jobs or (places if self.per_gpu else 1)
        if jobs > places:
            said(f"{count} GPU{'s' * (count > 1)} here: {places} at a time; --per-gpu packs more")
        seen = os.environ.get(VISIBLE, "").split(",") if os.environ.get(VISIBLE) else [str(n) for n in range(count)]
        return [{VISIBLE: seen[slot % count]} for slot in range(min(jobs, places, len(configs)))]
