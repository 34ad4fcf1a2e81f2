"""Runs one ``bench`` command that is killed, or finds the disk full, at its n-th change of the file system.

``python killed.py HOW FIRST STEP WORDS...`` in a folder that is left as it is: each try works on a copy of it. HOW is
``kill``, ``full``, or ``plain``: a kill where the system cannot exchange two folders. For each moment it prints a JSON
line: exit code, stderr, the files that are there, what is read as good, the epochs in checkpoints, and the same after
the command was run once more, undisturbed. It ends when the command gets through, or fails undisturbed. The process
that forks runs no command itself, so that no try sees what another loaded or started.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.chmod"}
NEEDS_ROOM = {"os.mkdir", "os.link"}
count = 0


def no_exchange(one: Path, other: Path) -> None:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def disturb(how: str, moment: int) -> None:
    """From here on, the ``moment``-th change below the current folder is the last, or the first without room."""
    here = Path.cwd()
    if how == "plain":
        atomic._exchange = no_exchange

    def hook(event: str, args: tuple[object, ...]) -> None:
        global count
        writes = event == "open" and isinstance(args[2], int) and bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if not writes and event not in CHANGES:
            return
        path = args[0]
        if not isinstance(path, str | Path) or here not in Path.cwd().joinpath(path).parents:
            return
        count += 1
        if how != "full" and count == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "full" and count >= moment and (writes or event in NEEDS_ROOM):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sys.addaudithook(hook)


def command(words: list[str], how: str = "", moment: int = 0) -> tuple[int, str]:
    """Exit code (minus the signal) and stderr of a command in a process of its own."""
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.dup2(said.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(number, "wb", 0)) for number in (1, 2))
                if how:
                    disturb(how, moment)
                code = 0
                app(words, standalone_mode=True)
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                with contextlib.suppress(OSError):
                    sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        return code, said.read().decode()


def state() -> dict[str, object]:
    """Files below the current folder, and hashes or numbers of all manifests, stores and records that read well."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        good: dict[str, object] = {}
        for path in Path("data").glob("[!.]*/dataset.json"):
            good[str(path)] = Manifest.read(path.parent).hash
        for path in Path("features").glob("*/[!.]*/features.json"):
            store = FeatureStore(path.parent, read_info(path.parent)["manifest"])
            good[str(path)] = [store.hash, *(len(store.split(split).caption_ids) for split in ("train", "val", "test"))]
        for cell in integrity.survey()[0]:
            good[str(cell.folder)] = cell.record.metrics | {
                name: hashlib.sha256((cell.folder / name).read_bytes()).hexdigest()
                for name in ("ranks.npz", "model.safetensors", "method.safetensors")
            }
        os.write(writing, json.dumps(good).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        good = json.loads(pipe.read() or '"not readable"')
    os.waitpid(child, 0)
    places = [path for name in ("[!.]*", ".*.bench-decided") for path in Path(".bench/checkpoints").glob(name)]
    trained = [json.loads((place / "checkpoint.json").read_text())["progress"]["epoch"] for place in places]
    files = sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())
    return {"files": files, "good": good, "trained": trained}


if __name__ == "__main__":
    import negbench.benchmark.sweeps.cell
    import negbench.pipelines.features  # noqa: F401
    from negbench.benchmark.cli.main import app
    from negbench.benchmark.results import integrity
    from negbench.pipelines import atomic
    from negbench.pipelines.manifest import Manifest
    from negbench.pipelines.store import FeatureStore, read_info

    how, moment, step, words = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    start, place = Path.cwd(), Path(tempfile.mkdtemp())
    code, code_again = -1, 0
    while code != 0 and code_again == 0:
        shutil.copytree(start, place / "try")
        os.chdir(place / "try")
        code, said = command(words, how, moment)
        told = {"moment": moment, "code": code, "said": said, **state()}
        code_again, said = command(words)
        print(json.dumps(told | {"again": {"code": code_again, "said": said, **state()}}), flush=True)
        os.chdir(start)
        shutil.rmtree(place / "try")
        moment += step
    shutil.rmtree(place)
