"""Where a crew works: on this machine, with a scheduler of its own, or for a scheduler that somebody started."""

import json
import os
import re
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from distributed import Client, LocalCluster, Security

from negbench.benchmark.errors import BenchError, RunFailedError, first_line
from negbench.benchmark.sweeps.engine.checks import Requirements, complaints
from negbench.benchmark.sweeps.engine.crew import Crew, Job
from negbench.benchmark.sweeps.engine.job import Place, last_line
from negbench.benchmark.sweeps.engine.quiet import be_quiet
from negbench.benchmark.sweeps.processes import Children
from negbench.benchmark.sweeps.sweep import LOGS
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import read_json

if TYPE_CHECKING:
    import subprocess

MARKS = Path(".bench") / "engine"
MODULE = "negbench.benchmark.sweeps.engine.worker"
ADDRESS = re.compile(r"([a-z]+://)?[^/\s]+:\d+")
CONNECT_S = 10
"""For a scheduler to answer."""
STILLBORN = 3
"""Workers that ended before the scheduler saw them, and no more are started."""
KEYS = ("tls_ca_file", "tls_worker_key", "tls_worker_cert")

Said = Callable[[str], None]


class LocalWorkers:
    """Processes of this machine, one per job at a time. They end with this one, however it ends."""

    def __init__(self, surroundings: Sequence[Mapping[str, str]], address: str, keys: Mapping[str, str]) -> None:
        """``surroundings``: what is added to the environment of each."""
        self._surroundings, self._address, self._keys = surroundings, address, keys
        self._children = Children()
        self._names = [""] * len(surroundings)
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * len(surroundings)
        self._started, self._stillborn = 0, 0

    def mend(self, there: set[str]) -> None:
        """Start those that are not there yet, and new ones for those that ended."""
        for slot, process in enumerate(self._processes):
            if self._names[slot] in there:
                self._stillborn = 0
            if process is None or process.poll() is not None:
                if process is not None:
                    self._stillborn += 1
                if self._stillborn == STILLBORN:
                    line = last_line(self._log(slot)) or f"exit code {process.poll() if process else None}"
                    raise RunFailedError(f"the workers end before they begin: {line}")
                self._start(slot)

    def _start(self, slot: int) -> None:
        self._started += 1
        self._names[slot] = f"{slot}-{self._started}"
        read, write = os.pipe()
        LOGS.mkdir(parents=True, exist_ok=True)
        with self._log(slot).open("wb") as log, open(read, "rb") as stdin, open(write, "wb") as told:  # noqa: PTH123
            self._processes[slot] = self._children.start(
                [], self._surroundings[slot], module=MODULE, stdin=stdin, stdout=log, stderr=log
            )
            line = {"address": self._address, "name": self._names[slot], "keys": dict(self._keys)}
            told.write(f"{json.dumps(line)}\n".encode())

    def _log(self, slot: int) -> Path:
        return LOGS / f"worker-{slot}.log"

    def end(self) -> None:
        """End all."""
        self._children.end()
        self._children.close()


@contextmanager
def local(surroundings: Sequence[Mapping[str, str]], said: Said) -> Iterator[tuple[Crew, Place]]:
    """Workers of this machine and where they work; ``surroundings``: added to the environment of each.

    The scheduler listens on the loopback device, and only to who has the keys of this very process.
    """
    be_quiet()
    security = Security.temporary()
    loopback = "127.0.0.1"  # for the dashboard's server too, which is there with or without it
    with (
        LocalCluster(
            n_workers=0, host=loopback, dashboard_address=f"{loopback}:0", security=security, silence_logs=False
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        if find_spec("bokeh"):
            said(f"dashboard: {cluster.dashboard_link}")
        keys = {name: getattr(security, name) for name in KEYS}
        workers = LocalWorkers(surroundings, cluster.scheduler_address, keys)
        try:
            yield Crew(client, said, workers), Place(str(Path.cwd()))
        finally:
            workers.end()


@contextmanager
def joined(scheduler: str, wanted: Requirements, said: Said) -> Iterator[tuple[Crew, Place]]:
    """Workers of a scheduler, ``ADDRESS`` or the file that it wrote, that have all that is ``wanted``.

    ``BenchError`` where no scheduler answers.
    """
    be_quiet()
    address = address_of(scheduler)
    mark = MARKS / secrets.token_hex(8)
    mark.parent.mkdir(parents=True, exist_ok=True)
    with connected(address) as client:
        services = client.scheduler_info(n_workers=0)["services"]
        if client.dashboard_link and services.get("dashboard") and find_spec("bokeh"):  # which has a page without it
            said(f"dashboard: {client.dashboard_link}")
        mark.touch()
        place = Place(str(Path.cwd()), str(mark))
        crew = Crew(client, said, check=Job("check", complaints, (place, wanted)))
        try:
            yield crew, place
        finally:
            mark.unlink(missing_ok=True)
            crew.stop()


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of a scheduler."""
    patience: dict[str, Any] = {"distributed.comm.timeouts.connect": f"{CONNECT_S}s"}
    with dask.config.set(patience), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other versions of dask's own libraries: what matters is checked by us
        try:
            client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError, TypeError) as error:
            raise BenchError(f"--scheduler {address}: no scheduler answers there ({first_line(error)})") from None
        try:
            yield client
        finally:
            with suppress(Exception):
                client.close(timeout=2)


def address_of(scheduler: str) -> str:
    """The address, as it is or from the file that ``dask scheduler --scheduler-file`` wrote."""
    if not Path(scheduler).exists():
        if ADDRESS.fullmatch(scheduler):
            return scheduler
        raise BenchError(f"--scheduler {scheduler}: no such file, and no address as tcp://HOST:PORT")
    try:
        return str(read_json(Path(scheduler))["address"])
    except (DataError, LookupError, TypeError):
        raise BenchError(f"--scheduler {scheduler}: no file that dask scheduler wrote") from None
