"""One process at a time, and the others are told what they wait for."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

LONGEST = 200
"""Bytes of a lock's text to show."""


class HeldError(Exception):
    """Somebody else is at it; the text says who: ``process 4242 since 10:02``."""


@contextmanager
def alone(path: Path, waiting: Callable[[str], None] | None = None, stays: bool = True) -> Iterator[None]:
    """Hold ``path``, a file that is made and ``stays``; the hold ends with this process, however that ends.

    Where another process holds it, ``waiting`` is called with who that is, and then waited for; ``HeldError``
    where ``waiting`` is None.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _held(path, waiting)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} since {datetime.now():%H:%M}\n".encode(), 0)
        yield
    finally:
        if not stays:
            # while it is held: who gets hold of it next finds that it has no name, and tries again
            with suppress(OSError):
                path.unlink()
        os.close(handle)


def _held(path: Path, waiting: Callable[[str], None] | None) -> int:
    """A handle of ``path`` with the lock, of the file that has this name now: who held it before may have removed it,
    and a lock of a file without a name keeps nobody out."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(handle, waiting)
            if _has_name(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, waiting: Callable[[str], None] | None) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            raise
        holder = os.pread(handle, LONGEST, 0).decode(errors="replace").strip() or "another process"
        if waiting is None:
            raise HeldError(holder) from None
        waiting(holder)
        fcntl.flock(handle, fcntl.LOCK_EX)


def _has_name(handle: int, path: Path) -> bool:
    """Whether the open file is the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
