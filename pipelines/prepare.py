"""Raw data to manifest: register a dataset, build its manifest, build it again.

``add`` looks at the files, registers them in ``data/<name>.yaml`` and writes ``data/<name>/``; only images inside
archives are copied.
``prepare`` builds ``data/<name>/`` from the registration alone, and refuses files that changed since.
"""

import os
import re
from pathlib import Path

from pipelines import datasets, encoders, sources
from pipelines.atomic import new_folder
from pipelines.errors import DataError, RequestError
from pipelines.files import digest
from pipelines.known import KNOWN, Known
from pipelines.manifest import SPLITS, Manifest, read_info
from pipelines.sources import Source

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
PRECOMP = "precomp"
DEFAULT_ENCODER = {True: f"{encoders.PRECOMPUTED}+ngrams", False: "hog+ngrams"}


def fingerprint(manifest: Manifest) -> str:
    """Digest over the source's files: each text or feature file, and each picture."""
    files = manifest.info.get("files", {})
    return digest(*(f"{file} {content}\n" for file, content in sorted(files.items())), *manifest.images["content"])


def add(
    name: str,
    path: Path,
    *,
    file_format: str | None = None,
    encoder: str | None = None,
    any_counts: bool = False,
    skip_bad: bool = False,
    replace: bool = False,
) -> Manifest:
    """Register the files in ``path`` as dataset ``name`` and build its manifest.

    ``file_format`` is found by looking where None. ``any_counts`` accepts other sizes than a well-known name
    stands for, ``skip_bad`` leaves bad rows and pictures out and counts them. ``replace`` takes the place
    of a registered dataset. Nothing is left behind on an error.
    """
    check_new(name, replace)
    if not path.is_dir():
        raise DataError(f"{path} is no folder")
    file_format = file_format or datasets.detect(path)
    precomputed = datasets.holds_features(file_format)
    if encoder is None:
        pictured = KNOWN[name].encoder if name in KNOWN and not precomputed else None
        encoder = pictured or DEFAULT_ENCODER[precomputed]
    source = Source(
        format=file_format,
        path=_stored(path),
        encoder="+".join(encoders.pair(encoder, precomputed)),
        takes_out=datasets.takes_out(file_format),
        settings={key: True for key, on in (("any_counts", any_counts), ("skip_bad", skip_bad)) if on},
    )
    with new_folder(sources.manifest_folder(name)) as folder:
        manifest = _build(name, source, folder)
        source = source.model_copy(update={"fingerprint": fingerprint(manifest)})
        _write(manifest, source, folder)
    sources.write(name, source)
    return manifest


def prepare(name: str) -> Manifest:
    """Build ``data/<name>/`` from ``data/<name>.yaml``."""
    source = sources.read(name)
    if source.path is not None and not Path(source.path).is_dir():
        raise DataError(f"data/{name}.yaml: the folder {source.path} is missing; run: {_add_again(name)}")
    with new_folder(sources.manifest_folder(name)) as folder:
        manifest = _build(name, source, folder)
        if source.fingerprint is not None and fingerprint(manifest) != source.fingerprint:
            raise DataError(f"{source.path}: files changed since '{name}' was added; run: {_add_again(name)}")
        _write(manifest, source, folder)
    return manifest


def is_current(name: str, source: Source) -> bool:
    """Whether ``data/<name>/`` was made from this registration."""
    try:
        return bool(read_info(sources.manifest_folder(name)).get("registration") == _registration(source))
    except DataError:
        return False


def check_new(name: str, replace: bool) -> None:
    """``RequestError`` where a dataset cannot be added under this name."""
    if not NAME.fullmatch(name):
        raise RequestError(f"dataset name '{name}': use small letters, digits, - and _, a letter or digit first")
    if name in sources.names() and not replace:
        raise RequestError(f"dataset '{name}' is registered already; --replace takes its place")


def _build(name: str, source: Source, folder: Path) -> Manifest:
    manifest = datasets.get(source.format).build(name, source, folder)
    manifest.check()
    if name in KNOWN and not source.settings.get("any_counts"):
        _assert_counts(manifest, KNOWN[name])
    return manifest


def _assert_counts(manifest: Manifest, known: Known) -> None:
    expected = dict(known.counts)
    found = manifest.images["split"].value_counts()
    if known.cut_val is not None and found.get("val", 0) == known.cut_val:
        expected["val"] = known.cut_val
    wrong = [
        f"{split} has {int(found.get(split, 0)):,} images, expected {expected[split]:,}"
        for split in SPLITS
        if found.get(split, 0) != expected[split]
    ]
    if wrong:
        raise DataError(f"{manifest.name}: {'; '.join(wrong)}; --any-counts takes them as they are")


def _write(manifest: Manifest, source: Source, folder: Path) -> None:
    known = KNOWN.get(manifest.name)
    about = {"licence": known.terms, "citation": known.citation} if known else {}
    manifest.info.update({"format": source.format, "registration": _registration(source), **about})
    manifest.write(folder)


def _registration(source: Source) -> str:
    """Digest of what decides a manifest. The path does not: the fingerprint stands for what lies there."""
    return digest(source.model_dump_json(include={"format", "fingerprint", "settings"}))


def _stored(path: Path) -> str:
    """The path as it is written down: relative to the project's root where it was given so or lies inside."""
    if path.is_absolute():
        return (path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path).as_posix()
    return Path(os.path.normpath(path)).as_posix()


def _add_again(name: str) -> str:
    return f"bench data add {name} --from DIR --replace"
