"""Files of a model by its name on a hub, or in a folder: safetensors and texts, never a pickle."""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from negbench.pipelines.encoders import Model
from negbench.pipelines.errors import RequestError
from negbench.pipelines.files import digest, file_digest

FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
CONFIG = "config.json"
WEIGHTS = ("model.safetensors",)


def here(model: Model, config: str = CONFIG, weights: Sequence[str] = WEIGHTS) -> Path | None:
    """The folder of a model that is wholly on this machine; asks no network."""
    if model.folder is None and find_spec("huggingface_hub") is None:
        return None
    folder = model.folder or _snapshot("", model, local=True)
    return folder if folder and (folder / config).exists() and _complete(folder, weights) else None


def fetch(family: str, model: Model, config: str = CONFIG, weights: Sequence[str] = WEIGHTS) -> Path:
    """The folder of a model, fetched from the hub where it is not here yet; what is here is not asked for again.

    ``RequestError`` where it cannot be had, or has no safetensors weights (one of the names in ``weights``).
    """
    name = f"encoder '{family}:{model.name}'"
    folder = model.folder
    if folder is not None and model.revision:
        raise RequestError(f"{name}: a folder has no revision '@{model.revision}'")
    if folder is None:
        folder = here(model, config, weights) or _snapshot(name, model, local=False)
    if folder is None or not folder.is_dir():
        raise RequestError(f"{name}: no folder {folder}")
    if not (folder / config).exists():
        raise RequestError(f"{name}: {folder} has no {config}")
    if not _complete(folder, weights):
        raise RequestError(f"{name}: no complete safetensors weights; pickled ones (.bin) are never read: convert them")
    return folder


def content(model: Model, folder: Path) -> str:
    """12 hex digits: of the hub's commit, or of a digest over the folder's files."""
    if model.folder is None:
        return folder.name[:12]
    files = sorted(path for pattern in FILES for path in folder.glob(pattern))
    return digest(*(f"{path.name} {file_digest(path)}\n" for path in files))[:12]


def _snapshot(name: str, model: Model, local: bool) -> Path | None:
    """The folder of a hub's model in the cache; None where ``local`` and it is not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                model.name,
                revision=model.revision,
                allow_patterns=list(FILES),
                ignore_patterns=["*/*"],
                local_files_only=local,
            )
        )
    except (HFValidationError, LocalEntryNotFoundError) as error:
        if local:
            return None
        reason = "is no name of a hub" if isinstance(error, HFValidationError) else "is not here, nor the hub in reach"
        raise RequestError(f"{name} {reason}; a folder is written ./NAME") from None
    except HfHubHTTPError as error:
        raise RequestError(f"{name} cannot be fetched: {str(error).strip().splitlines()[0]}") from None


def _complete(folder: Path, weights: Sequence[str]) -> bool:
    """Whether all safetensors files are there; a download may have been cut off."""
    if any((folder / name).exists() for name in weights):
        return True
    try:
        index = json.loads((folder / f"{weights[0]}.index.json").read_text(encoding="utf-8"))
        return all((folder / name).exists() for name in set(index["weight_map"].values()))
    except (OSError, ValueError, KeyError):
        return False
