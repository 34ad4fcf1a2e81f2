"""Files and folders that appear complete or not at all."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A scratch folder beside ``target`` that becomes ``target`` when the block ends well.

    An existing ``target`` is replaced. When the block raises, nothing is left behind.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield scratch
        scratch.chmod(0o755)  # mkdtemp makes it private
        move_into_place(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def move_into_place(folder: Path, target: Path) -> None:
    """Rename ``folder`` to ``target``; what was there is moved away first and then deleted."""
    target.parent.mkdir(parents=True, exist_ok=True)
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
