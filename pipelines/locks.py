"""One process at a time, and the others are told what they wait for."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

LONGEST = 200
"""Bytes of a lock's text to show."""


class HeldError(Exception):
    """Somebody else is at it; the text says who: ``process 4242 since 10:02``."""


@contextmanager
def alone(path: Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold ``path``, a file that is made and stays; the hold ends with this process, however that ends.

    Where another process holds it, ``waiting`` is called once with who that is, and then waited for; ``HeldError``
    where ``waiting`` is None.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
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
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} since {datetime.now():%H:%M}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
