"""Raw data to manifest: register a dataset, build its manifest, build it again.

``add`` looks at the files, registers them in ``data/<name>.yaml`` and writes ``data/<name>/``. A folder is not
copied; archives and downloads are unpacked to ``raw/<name>/``, pictures inside tables and shards taken out.
``prepare`` builds ``data/<name>/`` from the registration alone, and refuses files that changed since.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from negbench.pipelines import datasets, encoders, noise, noise_files, sources
from negbench.pipelines.atomic import new_file, new_folder
from negbench.pipelines.errors import DataError, RequestError
from negbench.pipelines.files import Progress, digest, silent
from negbench.pipelines.manifest import KIND, SPLITS, Manifest, read_info
from negbench.pipelines.names import check_dataset
from negbench.pipelines.reading.groups import STEM
from negbench.pipelines.reading.unused import unused
from negbench.pipelines.sides import pair
from negbench.pipelines.sources import Source
from negbench.pipelines.sources.arrivals import arrive, located
from negbench.pipelines.sources.known import KNOWN, Known

PRECOMP = "precomp"
DEFAULT_ENCODER = {True: f"{encoders.PRECOMPUTED}+ngrams", False: "hog+ngrams"}


def fingerprint(manifest: Manifest) -> str:
    """Digest over the source's files: each text or feature file, and each picture."""
    files = manifest.info.get("files", {})
    return digest(*(f"{file} {content}\n" for file, content in sorted(files.items())), *manifest.images["content"])


def add(
    name: str,
    *places: str | Path,
    sha256: Sequence[str] = (),
    most: int | None = None,
    file_format: str | None = None,
    encoder: str | None = None,
    settings: dict[str, Any] | None = None,
    replace: bool = False,
    again: bool = False,
    progress: Progress = silent,
) -> Manifest:
    """Register the files of ``places`` as dataset ``name`` and build its manifest.

    ``places`` is one folder, or archives and URLs, with their ``sha256`` where known; ``most`` bytes an archive may
    unpack to. ``file_format`` is found by looking where None. ``settings`` are written down with the source:
    ``any_counts`` accepts other sizes than a well-known name stands for, ``skip_bad`` leaves bad rows and pictures
    out and counts them, others are those of ``noise``, ``noise_files`` and the reader. ``replace`` takes the place of
    a registered dataset; with ``again`` it may be there already if it comes out the same. Nothing is left behind on an
    error.
    """
    check_new(name, replace or again, places, sha256)
    settings = noise_files.registered(settings or {})
    if file_format is not None:
        datasets.get(file_format)  # a wrong name is told before anything is fetched
    with (  # moved into place in the opposite order: a dataset is registered when all else is there
        new_file(sources.registration(name)) as registration,
        new_folder(sources.manifest_folder(name), KIND) as folder,
        arrive(name, places, sha256=sha256, most=most, progress=progress) as arrived,
    ):
        file_format = file_format or datasets.detect(arrived.folder)
        datasets.check_settings(file_format, settings)
        precomputed = datasets.holds_features(file_format)
        if encoder is None:
            pictured = KNOWN[name].encoder if name in KNOWN and not precomputed else None
            encoder = pictured or DEFAULT_ENCODER[precomputed]
        source = Source(
            format=file_format,
            path=_stored(arrived.folder),
            origin=arrived.origin,
            encoder="+".join(pair(encoder, precomputed)),
            takes_out=datasets.takes_out(file_format),
            settings=settings,
        )
        manifest = _build(name, source, folder)
        manifest.info.update(json.loads(arrived.told(json.dumps(manifest.info))))
        source = source.model_copy(update={"path": _stored(arrived.home), "fingerprint": fingerprint(manifest)})
        _write(manifest, source, folder)
        if not replace:
            _check_same(name, source)
        registration.write_text(sources.text(source), encoding="utf-8")
    return manifest


def generate(
    name: str,
    file_format: str,
    settings: dict[str, Any],
    *,
    encoder: str | None = None,
    replace: bool = False,
    again: bool = False,
) -> Manifest:
    """Register data that a reader makes by itself, from ``settings`` alone, and build its manifest; else as ``add``."""
    check_new(name, replace or again)
    if not datasets.is_generated(file_format):
        raise RequestError(f"format '{file_format}' reads files: give --from DIR")
    sources.check_apart(name, None, name)
    settings = noise_files.registered(settings)
    sides = pair(encoder or DEFAULT_ENCODER[False], precomputed=False)
    source = Source(format=file_format, encoder="+".join(sides), settings=settings)
    with new_folder(sources.manifest_folder(name), KIND) as folder:
        manifest = _build(name, source, folder)
        source = source.model_copy(update={"settings": manifest.info.get("settings", {}) | settings})
        _write(manifest, source, folder)
        if not replace:
            _check_same(name, source)
    sources.write(name, source)
    return manifest


def prepare(name: str) -> Manifest:
    """Build ``data/<name>/`` from ``data/<name>.yaml``."""
    source = sources.read(name)
    if source.path is not None and not Path(source.path).is_dir():
        tracked = f"dvc pull raw/{name}.dvc, or " if source.origin else ""
        raise DataError(
            f"data/{name}.yaml: the folder {source.path} is missing; run: {tracked}{add_again(name, source)}"
        )
    check_apart(name, source)
    with new_folder(sources.manifest_folder(name), KIND) as folder:
        manifest = _build(name, source, folder)
        if source.fingerprint is not None and fingerprint(manifest) != source.fingerprint:
            raise DataError(f"{source.path}: files changed since '{name}' was added; run: {add_again(name, source)}")
        _write(manifest, source, folder)
    return manifest


def ensure(name: str, source: Source) -> Manifest:
    """The manifest of a dataset, built where it is missing or stale."""
    return Manifest.read(sources.manifest_folder(name)) if is_current(name, source) else prepare(name)


def check_apart(name: str, source: Source, *more: Path) -> None:
    """``RequestError`` where the files that a registration names overlap with what is written, ``more`` besides."""
    path = None if source.path is None else Path(source.path)
    sources.check_apart(name, path, f"{sources.registration(name)}: path: {source.path}", *more)


def is_current(name: str, source: Source) -> bool:
    """Whether ``data/<name>/`` was made from this registration."""
    try:
        return bool(read_info(sources.manifest_folder(name)).get("registration") == _registration(source))
    except DataError:
        return False


def check_new(
    name: str,
    replace: bool,
    places: Sequence[str | Path] = (),
    sha256: Sequence[str] = (),
    option: str = "--from",
) -> None:
    """``RequestError`` where a dataset cannot be added under this name, or not from these places.

    ``option`` is what named them.
    """
    check_dataset(name)
    if name in sources.names() and not replace:
        raise RequestError(f"dataset '{name}' is registered already; --replace takes its place")
    if places:
        located(name, places, sha256, option)


def _check_same(name: str, source: Source) -> None:
    """``RequestError`` where another dataset is registered under this name: nobody asked to replace it."""
    if name in sources.names() and sources.read(name) != source:
        raise RequestError(
            f"dataset '{name}' is registered already, made from something else; --replace takes its place"
        )


def _build(name: str, source: Source, folder: Path) -> Manifest:
    if STEM in source.settings and not datasets.takes_stem(source.format):
        raise RequestError(
            f"--stem: format '{source.format}' reads one dataset by the names of its files; leave it out"
        )
    published, settings = noise_files.settings(name, source.settings)
    disturbance, settings = noise.settings(name, settings)
    manifest = datasets.get(source.format).build(name, source.model_copy(update={"settings": settings}), folder)
    manifest.check()
    if source.path is not None:
        manifest.info["unused"] = unused(source.folder(name), manifest, source.settings.get(STEM))
    if name in KNOWN and not source.settings.get("any_counts"):
        _assert_counts(manifest, KNOWN[name])
    return noise_files.add(manifest, published, folder) if published else noise.add(manifest, disturbance, folder)


def _assert_counts(manifest: Manifest, known: Known) -> None:
    found = {split: int((manifest.images["split"] == split).sum()) for split in SPLITS}
    expected = known.expected(found)
    wrong = [
        f"{split} has {found[split]:,} images, expected {expected[split]:,}"
        for split in SPLITS
        if found[split] != expected[split]
    ]
    if wrong:
        raise DataError(f"{manifest.name}: {'; '.join(wrong)}; --any-counts takes them as they are")


def _write(manifest: Manifest, source: Source, folder: Path) -> None:
    known = KNOWN.get(manifest.name)
    about = {"licence": known.terms, "citation": known.citation} if known else {}
    made = {"format": source.format, "registration": _registration(source), "code": datasets.code_of(source.format)}
    manifest.info.update({**made, **about})
    manifest.write(folder)


def _registration(source: Source) -> str:
    """Digest of what decides a manifest. The path does not: the fingerprint stands for what lies there."""
    return digest(source.model_dump_json(include={"format", "fingerprint", "settings"}))


def _stored(path: Path) -> str:
    """The path as it is written down: relative to the project's root where it was given so or lies inside."""
    if path.is_absolute():
        return (path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path).as_posix()
    return Path(os.path.normpath(path)).as_posix()


def add_again(name: str, source: Source, folder: str = "DIR") -> str:
    """The command that reads a source again, from ``folder`` where it is one."""
    places = [origin.place for origin in source.origin or []] or [folder]
    return " ".join(["bench data add", name, *(f"--from {place}" for place in places), "--replace"])
