"""A newly added dataset's place in the project: the lists of ``params.yaml`` and DVC's record of its manifest."""

import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from negbench.pipelines import sources
from negbench.pipelines.atomic import write_text
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import read_yaml
from negbench.pipelines.locks import alone

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
LOCKS = Path(".bench") / "locks"
CHECK = "params"
"""The stage of ``dvc.yaml`` that all others wait for."""
BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")
"""What DVC says while another process of its own is at work."""
PATIENCE = 60
"""Seconds that are waited for DVC, as long as another process holds it."""
PAUSE = 1.0
"""Seconds between two tries."""

Say = Callable[[str], None]


class Tracked(NamedTuple):
    """One thing that DVC was to record: a line about it, and whether it did."""

    line: str
    done: bool = True


@contextmanager
def adding(name: str, say: Say) -> Iterator[bool]:
    """Be the only one who adds a dataset of that name; ``say`` is told whom it waits for.

    Gives whether an ``add`` before was cut short, at whatever moment: a mark stands while one goes on.
    """
    with alone(LOCKS / f"add-{name}.lock", lambda who: say(f"waiting for {who}, which adds '{name}'")):
        mark, before = LOCKS / f"add-{name}.unfinished", name in sources.names()
        marked, unlisted = mark.exists(), is_unlisted(name)
        mark.touch()
        try:
            yield marked or unlisted
        except BaseException:
            if not marked and (before or name not in sources.names()):  # nothing was added
                mark.unlink()
            raise
        mark.unlink()


def list_in_params(name: str, encoder: str, say: Say) -> bool:
    """Append the dataset to ``datasets`` and ``encoders``, comments kept; False where there is no ``params.yaml``.

    One process at a time reads, changes and writes the file: nobody's change is lost.
    """
    if not PARAMS.exists():
        return False
    with alone(LOCKS / "params.lock", lambda who: say(f"waiting for {who}, which changes {PARAMS}")):
        params = read_params()
        if name in params["datasets"] and params["encoders"].get(name) == encoder:
            return True
        if name not in params["datasets"]:
            params["datasets"].append(name)
        params["encoders"][name] = encoder
        out = io.StringIO()
        _yaml().dump(params, out)
        write_text(PARAMS, out.getvalue())
    return True


def is_unlisted(name: str) -> bool:
    """Whether the dataset is registered, but ``params.yaml`` does not list it: listing comes last in an ``add``."""
    return name not in read_params()["datasets"] and name in sources.names() and PARAMS.exists()


def read_params() -> CommentedMap:
    """``params.yaml`` with both lists in it; ``DataError`` where it cannot take a dataset."""
    params = read_yaml(PARAMS, _yaml()) if PARAMS.exists() else None
    params = CommentedMap() if params is None else params
    if not isinstance(params, CommentedMap):
        raise DataError(f"{PARAMS}: not a mapping")
    names, chosen = params.setdefault("datasets", []), params.setdefault("encoders", CommentedMap())
    if not isinstance(names, list) or not isinstance(chosen, dict):
        raise DataError(f"{PARAMS}: 'datasets' must be a list and 'encoders' a mapping")
    return params


def _yaml() -> YAML:
    """Round trip: comments, quotes and layout stay."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def track(name: str, check: Callable[[], object], say: Say) -> Iterator[Tracked]:
    """Let DVC record what was just added, without building it again; a line about each thing done.

    That is the manifest, and what was unpacked to ``raw/<name>/``; a folder elsewhere stays its owner's. ``check``
    does what the pipeline's first stage does, where it has that one.
    """
    if not Path(".dvc").is_dir():
        yield Tracked("not a DVC repository: nothing to track")
        return
    raw, path = sources.RAW / name, sources.read(name).path
    if path is not None and Path(path).is_relative_to(raw):
        yield _dvc(f"{raw}", f"{raw}.dvc", say, "add", str(raw))
    stage, stages = f"prepare@{name}", _stages()
    if "prepare" not in stages:
        yield Tracked(f"{PIPELINE} has no stage 'prepare': nothing to track")
        return
    before = [CHECK] if CHECK in stages else []
    if before:
        check()
    yield _dvc(f"data/{name}", f"stage {stage}", say, "commit", "--force", *before, stage)


def has_stages(*names: str) -> bool:
    """Whether this is a repository of DVC with these stages."""
    return Path(".dvc").is_dir() and {*names} <= {*_stages()}


def commit(stages: Sequence[str], say: Say) -> Tracked:
    """Let DVC take the outputs of stages, which must be there, for what it would have made."""
    return _dvc(f"{len(stages)} stages", str(PIPELINE), say, "commit", "--force", *stages)


def add(folders: Sequence[Path], say: Say) -> Tracked | None:
    """Let DVC track folders that belong to no stage."""
    new = [str(folder) for folder in folders]
    return _dvc(f"{len(new)} records", "beside them", say, "add", *new) if new else None


def _dvc(what: str, where: str, say: Say, *words: str) -> Tracked:
    """Run one ``dvc`` command, again while another process holds DVC; a line about what it tracks now, or why not."""
    command = [sys.executable, "-P", "-m", "dvc", *words]  # -P: what lies in this folder is not DVC
    end, said = time.monotonic() + PATIENCE, False
    while True:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
        if not any(busy in done.stderr for busy in BUSY) or time.monotonic() > end:
            break
        if not said:
            say(f"waiting for another DVC process, up to {PATIENCE} s")
        said = True
        time.sleep(PAUSE)
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())[:300]
        return Tracked(f"DVC did not record {what} ({reason}); run: dvc {' '.join(words)}", done=False)
    return Tracked(f"DVC tracks {what} ({where})")


def _stages() -> dict[str, object]:
    """Stages of ``dvc.yaml``; none where it cannot be read, which is DVC's to report."""
    try:
        pipeline = read_yaml(PIPELINE) if PIPELINE.exists() else None
    except DataError:
        return {}
    stages = pipeline.get("stages") if isinstance(pipeline, dict) else None
    return stages if isinstance(stages, dict) else {}
