"""Parts of splits, encoded on workers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from negbench.benchmark.sweeps.engine.job import Place, prepared
from negbench.pipelines.encoding import OutOfMemoryError
from negbench.pipelines.features import encode_shard
from negbench.pipelines.shards import Shard

if TYPE_CHECKING:
    from negbench.benchmark.sweeps.engine.crew import Crew


class CrewOfFeatures:
    """Encodes shards of a split on workers of dask."""

    def __init__(self, crew: "Crew", place: Place, count: int) -> None:
        self._crew, self._place, self._count = crew, place, count

    @property
    def count(self) -> int:
        """Shards of a split."""
        return self._count

    def encode(self, shards: Sequence[Shard]) -> Iterator[Shard]:
        """``encode_shard`` of each; yields them as they end, and raises what one of them raised."""
        from negbench.benchmark.sweeps.engine.crew import Job

        named = {Path(shard.path).name: shard for shard in shards}
        for job, outcome in self._crew.run(
            [Job(name, encode_there, (self._place, one)) for name, one in named.items()]
        ):
            if outcome == FULL:
                self._crew.stop()
                raise OutOfMemoryError
            if isinstance(outcome, BaseException):
                self._crew.stop()
                raise outcome
            yield named[job.key]


FULL = "out of memory"


def encode_there(place: Place, shard: Shard) -> str:
    """On a worker: encode a shard; ``FULL`` where a batch does not fit."""
    with prepared(place):
        try:
            encode_shard(shard)
        except OutOfMemoryError:
            return FULL
    return ""
