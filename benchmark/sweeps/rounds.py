"""A study's trainings on workers: each is held against the trials that were complete when its round began.

So a trial depends on the rounds before it alone, not on which of its own round ended first: the same number of trials
asked together gives the same study.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.sweeps.cell import texts_for
from negbench.benchmark.sweeps.engine.job import Place, prepared
from negbench.benchmark.sweeps.engine.where import Where
from negbench.benchmark.sweeps.pruning import trial_result
from negbench.benchmark.sweeps.trial_request import TrialRequest, TrialResult
from negbench.benchmark.sweeps.tuning import TuningTask
from negbench.benchmark.training.inputs import features_hash
from negbench.benchmark.training.watcher import Watcher
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.sources import manifest_folder
from negbench.pipelines.store import FeatureStore
from negbench.pipelines.truth import Truth

if TYPE_CHECKING:
    from negbench.benchmark.sweeps.engine.crew import Crew


@dataclass(frozen=True)
class StudyData:
    """What a study is on, in words that a worker finds it by."""

    config: str
    """As JSON."""
    store: str
    """Folder of the features."""
    manifest_hash: str
    features_hash: str


class CrewOfStudy:
    """Helpers that are workers of dask."""

    def __init__(
        self, crew: "Crew", place: Place, task: TuningTask, count: int, running: Callable[[list[str]], Any]
    ) -> None:
        """``running`` is told now and then which trainings are at work."""
        self._crew, self._place, self._count, self._running = crew, place, count, running
        features = features_hash(task.store, task.config)
        self._data = StudyData(task.config.model_dump_json(), str(task.store.folder), task.manifest_hash, features)

    @property
    def count(self) -> int:
        return self._count

    def train(self, requests: Sequence[TrialRequest]) -> Iterator[tuple[TrialRequest, TrialResult]]:
        from negbench.benchmark.sweeps.engine.crew import DiedError, Job

        named = {request.name: request for request in requests}
        jobs = [Job(name, train_there, (self._place, self._data, request)) for name, request in named.items()]
        for job, outcome in self._crew.run(jobs, self._running):
            if isinstance(outcome, DiedError):
                outcome = TrialResult("failed", error=str(outcome))
            if isinstance(outcome, BaseException):
                raise outcome
            yield named[job.key], outcome


@contextmanager
def helpers_of(
    together: tuple[int, Where] | None,
    task: TuningTask,
    said: Callable[[str], None],
    running: Callable[[list[str]], Any],
) -> Iterator[CrewOfStudy | None]:
    """So many at a time on those workers; None where it is one after the other, here."""
    if together is None:
        yield None
        return
    count, where = together
    with where.crew([task.config] * count, said) as (crew, place):
        yield CrewOfStudy(crew, place, task, count, running)


def train_there(place: Place, data: StudyData, request: TrialRequest) -> TrialResult:
    """On a worker: train a trial on validation alone.

    ``NoDataError`` where data or features are others than those of the study.
    """
    with prepared(place):
        return trial_result(_task(data), request, Watcher())


def _task(data: StudyData) -> TuningTask:
    config = RunConfig.model_validate_json(data.config)
    folder = manifest_folder(config.dataset)
    manifest = Manifest.read(folder)
    store = FeatureStore(Path(data.store), manifest.hash)
    if (manifest.hash, features_hash(store, config)) != (data.manifest_hash, data.features_hash):
        raise NoDataError(f"{store.folder} was made anew meanwhile; the same command begins a new study on it")
    return TuningTask(config, {}, manifest.hash, store, Truth.read(folder), texts_for(config.method, manifest, store))
