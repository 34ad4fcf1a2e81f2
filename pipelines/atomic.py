"""Files and folders that appear complete or not at all, and never in place of somebody else's.

What is written lies beside its target under a hidden name, ``.NAME.bench-xxxxxxxx``, until one rename puts it there.
A kill leaves that behind; the next writer beside it removes what nobody holds any more.

A folder is replaced only if it is one that the suite made (``Kind``): it has that kind's mark and holds nothing else
than such a folder does. Whatever a person put there is therefore never deleted, but named.
"""

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path

from negbench.pipelines.errors import RequestError

SCRATCH = re.compile(r"\..+\.bench-[a-z0-9_]{8}")
"""Names of what is not finished."""
DECIDED = ".bench-decided"
"""Ends the name of a whole folder that is to replace another one, where the system cannot exchange two names."""
NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)
"""What a system or a disk says that cannot exchange two names."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Of Linux's ``renameat2``."""


@dataclass(frozen=True)
class Kind:
    """A kind of folder that the suite makes, so that it knows its own again."""

    name: str
    mark: str
    """The file that every such folder holds."""
    holds: tuple[str, ...]
    """Patterns of everything else that stands in it; what a folder ``NAME`` of it holds is given as ``NAME/*``."""

    def is_own(self, name: str) -> bool:
        """Whether the suite writes files of this name into such a folder."""
        return re.match("|".join(map(translate, (self.mark, *self.holds))), name) is not None

    def is_one(self, folder: Path) -> bool:
        """Whether ``folder`` is such a folder, a person's own files in it or not."""
        if not (folder / self.mark).is_file():
            return False
        names = [path.name for path in folder.iterdir()]
        return len(names) == 1 or any(self.is_own(name) for name in names if name != self.mark)

    def check(self, target: Path) -> None:
        """``RequestError`` where ``target`` is there and is no such folder, or holds what the suite did not make."""
        if not target.exists():
            return
        if not target.is_dir():
            raise RequestError(f"{target} is in the way: a file, not a folder; name another place, or move it")
        names = sorted(self._names(target))
        foreign = [name for name in names if not self.is_own(name)]
        if foreign or (names and self.mark not in names):
            what = f"holds '{foreign[0]}'" if foreign else f"has no {self.mark}"
            raise RequestError(
                f"{target} {what}, so it is not a {self.name} that bench may replace; name another place, or move it"
            )

    def _names(self, folder: Path) -> Iterator[str]:
        inside = {pattern.partition("/")[0] for pattern in self.holds if "/" in pattern}
        for path in folder.iterdir():
            if not SCRATCH.fullmatch(path.name):
                yield path.name
                if path.name in inside and path.is_dir():
                    yield from (f"{path.name}/{below.name}" for below in path.iterdir())


@contextmanager
def new_folder(target: Path, kind: Kind) -> Iterator[Path]:
    """A scratch folder beside ``target`` that becomes ``target`` when the block ends well.

    An existing ``target`` is replaced, if it is of this ``kind``: ``RequestError`` otherwise, before anything is done.
    When the block raises, nothing is left behind.
    """
    target = real(target)
    kind.check(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _scratch(target) as scratch:
        yield scratch
        scratch.chmod(0o755)  # mkdtemp makes it private
        kind.check(target)
        move_into_place(scratch, target)


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A new folder beside ``target``, held by a lock that ends with this process, however that ends."""
    with _alone(target.parent):  # nobody may take it for a dead one's between its making and its lock
        _sweep(target.parent)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.bench-", dir=target.parent))
        handle = os.open(scratch, os.O_RDONLY)
        _lock(handle)
    try:
        yield scratch
    finally:
        os.close(handle)
        shutil.rmtree(scratch, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in ``folder``."""
    if folder.is_dir():
        with _alone(folder):
            _sweep(folder)


def remove(folder: Path) -> None:
    """A folder with all that is in it, in one step: no half of it is ever found, and what a kill leaves is swept."""
    gone = folder.with_name(f".{folder.name}.bench-{secrets.token_hex(4)}")
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def move_into_place(folder: Path, target: Path) -> None:
    """Let ``folder``, on the same disk, become ``target``; the one rename that decides comes after all is on the disk.

    Killed at any moment, there is the old folder or the new one, whole: ``whole`` finishes what was decided.
    """
    target = real(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _sync_all(folder)
    with _alone(target.parent):
        _sweep(target.parent)
        if os.path.lexists(target):
            try:
                _exchange(folder, target)
            except OSError as error:
                if error.errno not in NO_EXCHANGE:
                    raise
                folder.rename(_decided(target))
                _finish(target)
        else:
            folder.rename(target)
        _sync(target.parent)
    shutil.rmtree(folder, ignore_errors=True)  # the old one, after an exchange


def whole(target: Path) -> Path:
    """``target``, after a replacement of it that was killed once it was decided is finished."""
    if os.path.lexists(_decided(real(target))):
        with suppress(OSError), _alone(real(target).parent):
            _finish(real(target))
    return target


def whole_below(root: Path) -> None:
    """``whole`` of every folder below ``root``."""
    for left in list(root.rglob(f".*{DECIDED}")):
        whole(left.with_name(left.name[1 : -len(DECIDED)]))


def real(target: Path) -> Path:
    """What a link leads to: links stay, what they name is written; the folder itself where it is named by dots."""
    dots = target.name in ("", "..")
    return Path(os.path.realpath(target)) if dots or target.is_symlink() else target


def _decided(target: Path) -> Path:
    return target.with_name(f".{target.name}{DECIDED}")


def _finish(target: Path) -> None:
    """Put a decided folder in place. The caller holds the folder above."""
    decided = _decided(target)
    if not os.path.lexists(decided):
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.bench-", dir=target.parent))
    if os.path.lexists(target):
        target.rename(old / target.name)
    decided.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> None:
    """Let two names change places in one step; ``OSError`` where that cannot be done."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def _sweep(folder: Path) -> None:
    """Remove what killed writers left in ``folder``, and finish what they had decided. The caller holds ``folder``."""
    for left in list(folder.iterdir()):
        if left.name.startswith(".") and left.name.endswith(DECIDED):
            with suppress(OSError):
                _finish(left.with_name(left.name[1 : -len(DECIDED)]))
        elif SCRATCH.fullmatch(left.name) and not left.is_symlink():
            with suppress(OSError):
                handle = os.open(left, os.O_RDONLY | os.O_NONBLOCK)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
                finally:
                    os.close(handle)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for the moment of a change of names in it; a scratch folder is its maker's alone already."""
    if SCRATCH.fullmatch(folder.name):
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    with suppress(OSError):  # some network disks have no locks: nobody sweeps there either
        fcntl.flock(handle, fcntl.LOCK_EX)


def _sync_all(folder: Path) -> None:
    """See that a folder with all that is in it is on the disk."""
    for path, _, files in os.walk(folder):
        for name in files:
            _sync(Path(path) / name)
        _sync(Path(path))


def _sync(path: Path) -> None:
    if path.is_symlink():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every disk can
            os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """An empty scratch file beside ``target`` that becomes ``target`` when the block ends well.

    A link stays one: what it leads to is replaced. The mode of a file that was there stays.
    """
    target = real(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.parent):
        _sweep(target.parent)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.bench-", dir=target.parent)
        _lock(handle)
    scratch = Path(name)
    try:
        yield scratch
        scratch.chmod(stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644)
        _sync(scratch)
        scratch.replace(target)
        _sync(target.parent)
    finally:
        os.close(handle)
        scratch.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write ``text`` to ``target`` in one step; into it, where it is a device or a pipe."""
    if target.exists() and not target.is_file():
        target.write_text(text, encoding="utf-8")
        return
    with new_file(target) as scratch:
        scratch.write_text(text, encoding="utf-8")
