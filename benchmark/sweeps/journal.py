"""Optuna's journal on disk: one file, one process at a time, whole again after a kill."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from negbench.benchmark.errors import BenchError
from negbench.pipelines import locks
from negbench.pipelines.files import read_bytes

LOCKS = Path(".bench") / "studies"
LARGEST = 2**30
"""Bytes of a journal: those of some 100,000 trials."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from tuning in ``folder``: they would take our running trial for a dead one."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(locks.alone(LOCKS / f"{'-'.join(folder.parts[-2:])}.lock"))
        except locks.HeldError as holder:
            said = f"{folder}: another bench tune is at work there ({holder}); wait until it has ended"
            raise BenchError(said) from None
        yield


def load(journal: Path, name: str, pruner: optuna.pruners.BasePruner) -> optuna.Study:
    """The study ``name`` of a journal, which maximises; made where it is not there. Call it inside ``alone``."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    mend(journal)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        if name not in optuna.get_all_study_names(storage):
            optuna.create_study(storage=storage, study_name=name, direction="maximize")
        return optuna.load_study(storage=storage, study_name=name, pruner=pruner)
    except (ValueError, KeyError, TypeError, AssertionError, AttributeError, RecursionError):
        raise BenchError(f"{journal}: no journal of Optuna that can be read; move it away to begin anew") from None


def mend(journal: Path) -> None:
    """Take away what a killed process leaves: half a line, which Optuna refuses, and a lock it waits 30 s for."""
    if journal.exists():
        if (size := journal.stat().st_size) > LARGEST:
            raise BenchError(f"{journal}: {size / 1e6:,.0f} MB, too large for a journal; move it away to begin anew")
        content = read_bytes(journal)
        os.truncate(journal, content.rfind(b"\n") + 1)
    Path(f"{journal}.lock").unlink(missing_ok=True)
