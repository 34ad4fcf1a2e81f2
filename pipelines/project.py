"""A newly added dataset's place in the project: the lists of ``params.yaml`` and DVC's record of its manifest."""

import io
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipelines.atomic import write_text
from pipelines.errors import DataError

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")


def list_in_params(name: str, encoder: str) -> bool:
    """Append the dataset to ``datasets`` and ``encoders``, comments kept; False where there is no ``params.yaml``."""
    if not PARAMS.exists():
        return False
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    text = PARAMS.read_text(encoding="utf-8")
    yaml.indent(mapping=2, sequence=4, offset=2)
    try:
        params = yaml.load(text)
    except YAMLError as error:
        raise DataError(f"{PARAMS}: not YAML: {' '.join(str(error).split())}") from None
    params = {} if params is None else params
    names = params.setdefault("datasets", [])
    chosen = params.setdefault("encoders", {})
    if not isinstance(names, list) or not isinstance(chosen, dict):
        raise DataError(f"{PARAMS}: 'datasets' must be a list and 'encoders' a mapping")
    if name not in names:
        names.append(name)
    chosen[name] = encoder
    out = io.StringIO()
    yaml.dump(params, out)
    write_text(PARAMS, out.getvalue())
    return True


def track(name: str) -> str:
    """Let DVC record the manifest that was just built, without building it again; one line about what was done."""
    stage = f"prepare@{name}"
    if not Path(".dvc").is_dir():
        return "not a DVC repository: nothing to track"
    if not PIPELINE.exists() or "prepare" not in (YAML(typ="safe").load(PIPELINE) or {}).get("stages", {}):
        return f"{PIPELINE} has no stage 'prepare': nothing to track"
    command = [sys.executable, "-m", "dvc", "commit", "--force", "--quiet", stage]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())[:300]
        return f"DVC did not record {stage} ({reason}); try: dvc repro {stage}"
    return f"DVC tracks data/{name} (stage {stage})"
