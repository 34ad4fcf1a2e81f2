"""Whether manifests and stores on the disk are what would be made now."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from negbench.pipelines import datasets, encoders, prepare, sources
from negbench.pipelines.code import ROOT, code_digest, files_of
from negbench.pipelines.datasets.precomp import CAPTIONS
from negbench.pipelines.encoders import EncoderKind
from negbench.pipelines.errors import DataError
from negbench.pipelines.files import digest, read_json
from negbench.pipelines.manifest import read_info as read_manifest_info
from negbench.pipelines.sides import GIVEN, pair
from negbench.pipelines.sources import FEATURES, manifest_folder, store_folder
from negbench.pipelines.store import read_info

PRECOMPUTED_REVISION = "1"
SIDES: dict[str, EncoderKind] = {"images": "image", "captions": "text"}


def code_of(names: Iterable[str]) -> str:
    """Digest of the code of some encoders, and of what reads pictures and encodes in batches."""
    files = {encoders.file_of(name) for name in names if name != encoders.PRECOMPUTED}
    whole = files_of(files, ["pipelines/encoders"])
    inside = {path for path in whole if path.is_relative_to(ROOT / "pipelines" / "encoders")}
    return code_digest(inside | {ROOT / "pipelines" / "encoding.py", ROOT / "pipelines" / "reading" / "pictures.py"})


def given_captions(info: dict[str, Any], encoder: str) -> dict[str, str]:
    """Of a store of features that came with the captions: a digest of their files, by the manifest's ``info``."""
    if encoder != GIVEN:
        return {}
    found = {file: content for file, content in info.get("files", {}).items() if file.endswith(CAPTIONS)}
    return {"given": digest(*(f"{file} {content}\n" for file, content in sorted(found.items())))}


def is_current(target: Path, belongs: dict[str, Any], names: dict[str, str], code: str) -> bool:
    """Whether the store is what would be made now; an older one does not say by which code it was made.

    A model that is not on this machine cannot have changed here.
    """
    try:
        info = read_info(target)
    except DataError:
        return False
    for modality, name in names.items():
        kind = SIDES[modality]
        now = PRECOMPUTED_REVISION if name == encoders.PRECOMPUTED else encoders.revision(name, kind)
        if now not in (None, info.get(kind, {}).get("revision")):
            return False
    if info.get("code", code) != code:
        return False
    return all(info.get(key) == value for key, value in belongs.items()) and all(
        (target / file).exists() for file in info["files"]
    )


def made(name: str, encoder: str) -> list[str]:
    """Of the stages ``prepare`` and ``features`` of a dataset those whose outputs are what they would make now.

    ``encoder`` is the dataset's in the pipeline. A manifest or store that does not say by which code it was made, as
    older ones do not, counts as made by this one.
    """
    found, source = [], sources.read(name)
    try:
        info = read_manifest_info(manifest_folder(name))
        code = datasets.code_of(source.format)
        if prepare.is_current(name, source) and info.get("code", code) == code:
            found.append("prepare")
        names = pair(encoder, datasets.holds_features(source.format))
        target = store_folder(name, "+".join(names))
        belongs = {"dataset": name, "encoder": target.name, "manifest": info["hash"]}
        belongs |= given_captions(info, target.name)
        pointer = {"encoder": target.name, "manifest": info["hash"], "hash": read_info(target)["hash"]}
        if is_current(target, belongs, dict(zip(SIDES, names, strict=True)), code_of(names)):
            found += ["features"] if read_json(FEATURES / f"{name}.json") == pointer else []
    except DataError:  # what is not there is not made
        pass
    return found
