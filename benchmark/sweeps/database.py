"""Studies in a PostgreSQL database, which many clients share; one that is away for a while costs no training."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from negbench.benchmark.errors import BenchError, RunFailedError, first_line

DRIVER = "postgresql+psycopg"
CONNECT_S = 10
PAUSES_S = (1, 4, 15, 40, 60, 60)
"""Before each new try, while the database does not answer."""
FAULTS = (StorageInternalError, SQLAlchemyError)

Made = TypeVar("Made")


class Database:
    """Where a study is kept. Its address, which may hold a password, is never printed."""

    def __init__(self, url: str, said: Callable[[str], None]) -> None:
        """``BenchError`` for what is no address; ``said`` is told, in a line, when the database does not answer."""
        self._said = said
        self._storage: RDBStorage | None = None
        try:
            found = make_url(url)
        except ArgumentError:
            found = None
        if found is None or found.drivername not in ("postgresql", DRIVER):
            raise BenchError("--storage: no address as postgresql://USER:PASSWORD@HOST/DATABASE")
        if find_spec("psycopg") is None:
            raise BenchError("--storage needs a driver of PostgreSQL; run: pip install 'psycopg[binary]'")
        self._url = found.set(drivername=DRIVER).render_as_string(hide_password=False)

    def open(self, name: str, pruner: optuna.pruners.BasePruner) -> optuna.Study:
        """The study ``name``, which maximises; made where it is not there.

        ``RunFailedError`` where there is no database, ``BenchError`` where it is of another Optuna.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        connection = {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_S}}
        for last in (False, True):  # of two that make the tables at once, one fails
            try:
                self._storage = RDBStorage(self._url, engine_kwargs=connection)
                return optuna.create_study(
                    storage=self._storage, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
                )
            except FAULTS as error:
                if last:
                    raise RunFailedError(f"--storage: {reason(error)}") from None
            except RuntimeError as error:
                raise BenchError(f"--storage: {first_line(error)}") from None
        raise AssertionError

    def patiently(self, call: Callable[[], Made]) -> Made:
        """What ``call`` returns, tried again while the database does not answer."""
        for pause in PAUSES_S:
            try:
                return call()
            except FAULTS as error:
                self._said(f"--storage: {reason(error)}; trying again in {pause} s")
                time.sleep(pause)
        return call()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside, a database that is away is a ``RunFailedError`` of one line; it is let go of at the end."""
        try:
            yield
        except FAULTS as error:
            kept = "what it holds stays, and the same command goes on with it"
            raise RunFailedError(f"--storage: {reason(error)}; {kept}") from None
        finally:
            if self._storage is not None:
                self._storage.remove_session()
                self._storage.engine.dispose()


def reason(error: BaseException) -> str:
    """What the driver says; Optuna and SQLAlchemy put much around it."""
    while (inner := getattr(error, "orig", None) or error.__cause__) is not None:
        error = inner
    return f"the database does not answer ({first_line(error)})"
