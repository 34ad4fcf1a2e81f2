"""Files and folders that appear complete or not at all.

What is written lies beside its target under a hidden name until it is moved into place. A kill leaves that behind;
the next writer of the same target removes it.
"""

import errno
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

YOUNG = 60.0
"""Seconds for which a scratch folder is left alone that nobody holds: its maker may be about to."""


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A scratch folder beside ``target`` that becomes ``target`` when the block ends well.

    An existing ``target`` is replaced. When the block raises, nothing is left behind.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    handle = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # ends with this process, however that ends
        yield scratch
        scratch.chmod(0o755)  # mkdtemp makes it private
        move_into_place(scratch, target)
    finally:
        os.close(handle)
        shutil.rmtree(scratch, ignore_errors=True)


def _sweep(target: Path) -> None:
    """Remove what killed writers of ``target`` left beside it."""
    ours = re.compile(rf"\.{re.escape(target.name)}\.(old\.)?[a-z0-9_]{{8}}")  # as tempfile names them
    for left in target.parent.iterdir():
        if not ours.fullmatch(left.name):
            continue
        with suppress(OSError):
            if time.time() - left.stat().st_mtime < YOUNG:
                continue
            handle = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            finally:
                os.close(handle)


def move_into_place(folder: Path, target: Path) -> None:
    """Rename ``folder`` to ``target``; what was there is moved away first and then deleted."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():  # needs no room on the disk
        with suppress(OSError):
            folder.replace(target)
            return
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.old.", dir=target.parent) as old:
        for attempt in range(5):  # another process may put its own there in between: the last one stays
            with suppress(FileNotFoundError):
                target.replace(Path(old) / str(attempt))
            try:
                folder.replace(target)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        raise FileExistsError(errno.EEXIST, "other processes keep writing it", str(target))


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """An empty scratch file beside ``target`` that becomes ``target`` when the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    scratch = Path(name)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield scratch
        scratch.chmod(0o644)
        scratch.replace(target)
    finally:
        os.close(handle)
        scratch.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write ``text`` to ``target`` in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(target)
    finally:
        Path(scratch).unlink(missing_ok=True)
