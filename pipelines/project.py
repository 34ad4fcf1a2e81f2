"""A newly added dataset's place in the project: the lists of ``params.yaml`` and DVC's record of its manifest."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from pipelines import sources
from pipelines.atomic import write_text
from pipelines.errors import DataError, not_yaml

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")


def list_in_params(name: str, encoder: str) -> bool:
    """Append the dataset to ``datasets`` and ``encoders``, comments kept; False where there is no ``params.yaml``."""
    if not PARAMS.exists():
        return False
    params = read_params()
    if name not in params["datasets"]:
        params["datasets"].append(name)
    params["encoders"][name] = encoder
    out = io.StringIO()
    _yaml().dump(params, out)
    write_text(PARAMS, out.getvalue())
    return True


def was_cut_short(name: str) -> bool:
    """Whether the dataset is registered, but ``params.yaml`` does not list it: listing comes last."""
    return name not in read_params()["datasets"] and name in sources.names() and PARAMS.exists()


def read_params() -> CommentedMap:
    """``params.yaml`` with both lists in it; ``DataError`` where it cannot take a dataset."""
    try:
        params = _yaml().load(PARAMS.read_text(encoding="utf-8")) if PARAMS.exists() else None
    except YAMLError as error:
        raise DataError(f"{PARAMS}{not_yaml(error)}") from None
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


def track(name: str) -> Iterator[str]:
    """Let DVC record what was just added, without building it again; a line about each thing done.

    That is the manifest, and what was unpacked to ``raw/<name>/``; a folder elsewhere stays its owner's.
    """
    if not Path(".dvc").is_dir():
        yield "not a DVC repository: nothing to track"
        return
    raw, path = sources.RAW / name, sources.read(name).path
    if path is not None and Path(path).is_relative_to(raw):
        yield _dvc(f"{raw}", f"{raw}.dvc", "add", "--quiet", str(raw))
    stage = f"prepare@{name}"
    if "prepare" not in _stages():
        yield f"{PIPELINE} has no stage 'prepare': nothing to track"
    else:
        yield _dvc(f"data/{name}", f"stage {stage}", "commit", "--force", "--quiet", stage)


def _dvc(what: str, where: str, *words: str) -> str:
    """Run one ``dvc`` command; a line about what it tracks now, or why not."""
    done = subprocess.run([sys.executable, "-P", "-m", "dvc", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())[:300]
        return f"DVC did not record {what} ({reason}); try: dvc {' '.join(word for word in words if word != '--quiet')}"
    return f"DVC tracks {what} ({where})"


def _stages() -> dict[str, object]:
    """Stages of ``dvc.yaml``; none where it cannot be read, which is DVC's to report."""
    try:
        pipeline = YAML(typ="safe").load(PIPELINE.read_text(encoding="utf-8")) if PIPELINE.exists() else None
    except YAMLError:
        return {}
    stages = pipeline.get("stages") if isinstance(pipeline, dict) else None
    return stages if isinstance(stages, dict) else {}
