"""Studies in a real PostgreSQL: shared by many, and nothing lost where it goes away."""

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import BENCH, bench
from negbench.benchmark.errors import BenchError, RunFailedError
from negbench.benchmark.reports.study_folder import write
from negbench.benchmark.sweeps.database import Database
from negbench.benchmark.sweeps.launch import free_port
from negbench.benchmark.sweeps.studies import Budget, Outcome, TuningWatcher
from negbench.benchmark.sweeps.tuning import tune
from test_tuning import FOLDER, Scripted, Tiny, task_of

PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
"""Of Debian's packages; or where ``initdb`` is found."""
INITDB = shutil.which("initdb") or (str(PLACES[-1]) if PLACES else None)


class Server:
    """PostgreSQL on this machine; it refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        assert INITDB is not None
        self.folder, self.port = folder, free_port()
        self.bin = Path(INITDB).resolve().parent
        self._user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        if self._user:
            shutil.chown(folder, "postgres", "postgres")
        self._run("initdb", "--pgdata", str(folder / "db"), "--auth", "trust", "--username", "bench")

    @property
    def url(self) -> str:
        return f"postgresql://bench:secret@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -F"
        self._ctl("start", "--options", options, "--log", str(self.folder / "log"))

    def stop(self) -> None:
        self._ctl("stop", "--mode", "immediate")

    def _ctl(self, *words: str) -> None:
        self._run("pg_ctl", words[0], "--pgdata", str(self.folder / "db"), "--wait", *words[1:])

    def _run(self, command: str, *words: str) -> None:
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.folder, **self._user}
        subprocess.run([str(self.bin / command), *words], check=True, **quiet)


def can_run() -> bool:
    """Root needs another user to run it as."""
    if INITDB is None:
        return False
    try:
        pwd.getpwnam("postgres" if os.geteuid() == 0 else getpass.getuser())
    except KeyError:
        return False
    return True


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="there is no driver of PostgreSQL")
    if not can_run():
        pytest.skip("there is no PostgreSQL here")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # its user must get there, and names of sockets are short
    folder.chmod(0o755)
    found = Server(folder)
    found.start()
    yield found
    if (folder / "db" / "postmaster.pid").exists():
        found.stop()
    shutil.rmtree(folder)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    return Scripted(monkeypatch)


def search(tiny: Tiny, server: Server, trials: int, said: list[str] | None = None) -> Outcome:
    database = Database(server.url, print if said is None else said.append)
    return tune(task_of(tiny), FOLDER, Budget(trials, fresh_seeds=1), TuningWatcher(), write, None, database)


def test_a_study_goes_on_in_the_database(tiny: Tiny, scripted: Scripted, server: Server) -> None:
    first = search(tiny, server, 4)
    assert first.rows[0].settings == task_of(tiny).defaults
    ran = len(scripted.seen)
    whole = search(tiny, server, 12)
    assert whole.rows[:4] == first.rows
    assert len(whole.rows) == 12
    assert len({str(row.settings) for row in whole.rows}) == 12
    assert whole.states["pruned"] > 0
    assert len(scripted.seen) > ran
    ran = len(scripted.seen)
    assert search(tiny, server, 12).rows == whole.rows
    assert len(scripted.seen) == ran
    assert not (FOLDER / "journal.log").exists()
    assert (FOLDER / "best.json").exists()


def test_a_database_that_is_away_for_a_while_costs_nothing(
    tiny: Tiny, scripted: Scripted, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Scripted.__call__

    def trained(self: Scripted, *words: Any) -> Any:
        if len(self.seen) == 2:
            server.stop()
        return plain(self, *words)

    monkeypatch.setattr(Scripted, "__call__", trained)
    monkeypatch.setattr(time, "sleep", lambda seconds: server.start())
    said: list[str] = []
    found = search(tiny, server, 5, said)
    assert len(found.rows) == 5
    assert len(scripted.seen) <= 5 + 2
    (line,) = said
    assert line.startswith("--storage: the database does not answer (")
    assert line.endswith("; trying again in 1 s")
    assert "secret" not in line


def test_a_database_that_stays_away_is_one_line_and_what_is_there_stays(
    tiny: Tiny, scripted: Scripted, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = search(tiny, server, 3).rows
    server.stop()
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(RunFailedError, match=r"^--storage: the database does not answer \(.*\)$") as caught:
        search(tiny, server, 5)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    server.start()
    plain = Scripted.__call__
    with monkeypatch.context() as patch:

        def stopped(self: Scripted, *words: Any) -> Any:
            server.stop()
            return plain(self, *words)

        patch.setattr(Scripted, "__call__", stopped)
        with pytest.raises(RunFailedError, match=r"what it holds stays, and the same command goes on with it$"):
            search(tiny, server, 5)
    server.start()
    assert search(tiny, server, 5).rows[:3] == before


def test_two_clients_share_a_study(small_project: Path, server: Server) -> None:
    words = [*BENCH, "tune", "--dataset", "small", "--method", "fne", "--trials", "6", "--fresh-seeds", "1"]
    small = ["--epochs", "3", "--set", "batch=32", "--set", "hidden=8", "--set", "dim=8", "--memory", "64"]
    surroundings = {**os.environ, "BENCH_STORAGE": server.url}
    both = [
        subprocess.Popen([*words, *small, *more], env=surroundings, stderr=subprocess.PIPE, text=True)
        for more in ([], ["--jobs", "2"])
    ]
    said = ["", ""]

    def listen(number: int) -> None:
        said[number] = both[number].communicate()[1]

    threads = [threading.Thread(target=listen, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.returncode for one in both] == [0, 0], said
    rows = (small_project / "studies/small/fne+memory=64/trials.csv").read_text().splitlines()[1:]
    assert 6 <= len(rows) <= 9


@pytest.mark.parametrize("url", ["sqlite:///x.db", "nonsense", "mysql://a:secret@b/c"])
def test_what_is_no_address_of_postgresql_is_refused(tiny: Tiny, url: str) -> None:
    with pytest.raises(BenchError, match="--storage: no address as postgresql://USER:PASSWORD@HOST/DATABASE"):
        Database(url, print)
    done = bench("tune", "--dataset", "tiny", "--method", "fne", "--storage", url)
    assert done.exit_code == 2
    assert "secret" not in done.output
    assert not Path("studies").exists()
