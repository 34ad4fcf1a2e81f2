"""Workers, each with one job at a time: the job of one that dies goes to another."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from distributed import KilledWorker

from negbench.benchmark.errors import BenchError, RunFailedError, first_line
from negbench.benchmark.sweeps.engine.job import LeftError

if TYPE_CHECKING:
    from distributed import Client, Future

LOOK_S = 0.5
"""Seconds between two looks at who is there."""
DEATHS = 3
"""Of its workers, and a job is given up."""


@dataclass(frozen=True)
class Job:
    """A function of a module and what it is called with."""

    key: str
    """Its name, which no other job has."""
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class DiedError(RunFailedError):
    """A job's workers died, one after the other."""


class UnheardError(Exception):
    """The client lost touch with the scheduler for a moment, and dask gave up what it waited for: no worker died."""


class Hands(Protocol):
    """Whoever starts the workers of a crew."""

    def mend(self, there: set[str]) -> None:
        """Start new ones for those that ended; ``there``: names of those that the scheduler knows."""


@dataclass
class Asked:
    """What workers were asked and said."""

    good: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    waiting: dict[str, "Future[Any]"] = field(default_factory=dict)


class Crew:
    """All workers of a scheduler, by the eyes of one client."""

    def __init__(
        self, client: "Client", said: Callable[[str], None], hands: Hands | None = None, check: Job | None = None
    ) -> None:
        """Make nothing yet.

        Args:
            client: connected to the scheduler.
            said: told, in a line, what happens to workers.
            hands: who starts them, where they are our own.
            check: what each worker does before it gets a job: lines that say why it may have none.
        """
        self._client, self._said, self._hands, self._check = client, said, hands, check
        self._asked = Asked()
        self._running: dict[str, tuple[Job, Future[Any]]] = {}
        """By the worker's address."""
        self._ended: SimpleQueue[Future[Any]] = SimpleQueue()
        self._given = 0
        self._waits = False

    def run(
        self, jobs: Sequence[Job], running: Callable[[list[str]], Any] = lambda keys: None
    ) -> Iterator[tuple[Job, Any]]:
        """Each job with what it returned or raised, as they end; ``DiedError`` where three of its workers died.

        ``running`` is told at every look which jobs workers have at that moment.

        Raises:
            BenchError: the scheduler is gone, or no worker can be used.
        """
        waiting, deaths = deque(jobs), Counter[str]()
        while waiting or self._running:
            there = self._look()
            lost = self._lost(there)
            for address in sorted(self._asked.good & there - self._running.keys()):
                if waiting:
                    self._give(address, waiting.popleft())
            running([job.key for job, _ in self._running.values()])
            for job, outcome in [*((job, LeftError()) for job in lost), *self._outcomes()]:
                deaths[job.key] += isinstance(outcome, LeftError | KilledWorker)
                if isinstance(outcome, UnheardError):
                    self._said(f"{job.key}: its worker was not heard; it is asked again")
                    waiting.appendleft(job)
                elif not isinstance(outcome, LeftError | KilledWorker):
                    yield job, outcome
                elif deaths[job.key] == DEATHS:
                    yield job, DiedError(f"{DEATHS} workers died while they were at it")
                else:
                    self._said(f"{job.key}: its worker died; another goes on with it")
                    waiting.appendleft(job)

    def _lost(self, there: set[str]) -> list[Job]:
        """Jobs of workers that went without a word."""
        lost = []
        for address in self._running.keys() - there:
            job, future = self._running[address]
            if not future.done():
                del self._running[address]
                self._client.cancel([future], force=True)  # dask would wait for a worker with this very address
                lost.append(job)
        return lost

    def stop(self) -> None:
        """Ask for nothing any more."""
        with suppress(Exception):  # the scheduler may be gone
            self._client.cancel([future for _, future in self._running.values()], force=True)
        self._running.clear()

    def _give(self, address: str, job: Job) -> None:
        self._given += 1
        key = f"{job.key} #{self._given}"
        future = self._client.submit(job.function, *job.arguments, key=key, workers=[address], pure=False)
        self._running[address] = (job, future)
        future.add_done_callback(self._ended.put)

    def _outcomes(self) -> Iterator[tuple[Job, Any]]:
        """Of jobs that ended, after a moment."""
        with suppress(Empty):
            future = self._ended.get(timeout=LOOK_S)
            while True:
                for address, (job, own) in list(self._running.items()):
                    if own is future:
                        del self._running[address]
                        yield job, outcome_of(future)
                future = self._ended.get_nowait()

    def _look(self) -> set[str]:
        """Addresses of the workers that are there; new ones are checked."""
        if self._client.status != "running":
            raise RunFailedError("the scheduler is gone; what is recorded stays, and the same command goes on with it")
        try:
            found = self._client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, TimeoutError) as error:
            raise RunFailedError(f"the scheduler does not answer: {first_line(error)}") from None
        if self._hands is not None:
            self._hands.mend({str(told["name"]) for told in found.values()})
        if not found and not self._waits:
            self._waits = True
            if self._hands is None:
                self._said("waiting for workers")
        for address, told in found.items():
            if address not in self._asked.good | self._asked.refused | self._asked.waiting.keys():
                self._ask(address, told)
        self._hear(found.keys())
        if found and found.keys() <= self._asked.refused:
            count = len(found)
            raise BenchError(f"none of the {count} workers can be used" if count > 1 else "the worker cannot be used")
        return set(found)

    def _ask(self, address: str, told: dict[str, Any]) -> None:
        if self._check is None:
            self._asked.good.add(address)
        elif told["nthreads"] != 1:
            self._refuse(address, f"it has {told['nthreads']} threads; start it with --nthreads 1")
        else:
            job = self._check
            key = f"{job.key} {address}"
            ask = self._client.submit(job.function, *job.arguments, key=key, workers=[address], pure=False)
            self._asked.waiting[address] = ask

    def _hear(self, there: Any) -> None:
        for address, future in list(self._asked.waiting.items()):
            if future.status == "pending" and address in there:
                continue
            del self._asked.waiting[address]
            if address not in there:
                continue
            said = outcome_of(future)
            if isinstance(said, BaseException):
                cause = said.__cause__ or said
                told = f"{type(cause).__name__}: {first_line(cause)}"
                said = [f"it, or its scheduler, has no negbench that can be asked ({told})"]
            if said:
                self._refuse(address, "; ".join(said))
            else:
                self._asked.good.add(address)

    def _refuse(self, address: str, why: str) -> None:
        self._asked.refused.add(address)
        self._said(f"worker {address} is not used: {why}")


def outcome_of(future: "Future[Any]") -> Any:
    """What a job returned, or raised."""
    if future.status in ("cancelled", "lost"):
        return UnheardError()
    try:
        return future.result(timeout=10)
    except Exception as error:
        return error
