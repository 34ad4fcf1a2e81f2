"""``bench data``: bring datasets in, look at them, build their manifests."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.errors import NoDataError, NotTrackedError
from negbench.benchmark.reports.screen import log, out, wide
from negbench.pipelines.errors import DataError, RequestError, unknown
from negbench.pipelines.text import json_text

if TYPE_CHECKING:
    from negbench.pipelines.manifest import Manifest

app = typer.Typer(
    cls=complete.CompletingGroup, no_args_is_help=True, help="Bring datasets in, check them, build their manifests."
)
Name = Annotated[str, typer.Argument(help="Name of the dataset: small letters, digits, - and _.")]
Added = Annotated[
    str, typer.Argument(autocompletion=complete.dataset, help="Name of a registered dataset.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command(cls=complete.Completing)
def add(
    name: Name,
    places: Annotated[
        list[str] | None,
        typer.Option("--from", help="Folder, archive or URL (http, s3, gs, file); several archives or URLs work."),
    ] = None,
    precomp: Annotated[Path | None, typer.Option(help="Folder of precomputed features.")] = None,
    file_format: Annotated[str | None, typer.Option("--format", help="Reader; found by looking if not given.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Encoder used when none is named.")] = None,
    any_counts: Annotated[
        bool, typer.Option("--any-counts", help="Accept other sizes than the name stands for.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad rows and pictures out, counted, in place of stopping.")
    ] = False,
    stem: Annotated[str | None, typer.Option(help="Of several datasets in a folder, what one's files share.")] = None,
    noise_ratio: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the training captions exchanged among images.")
    ] = 0.0,
    noise_seed: Annotated[int, typer.Option(min=0, help="Which captions are exchanged.")] = 0,
    noise_file: Annotated[str | None, typer.Option(help="Published noise: .npy of indices of captions.")] = None,
    ambiguity: Annotated[
        float | None, typer.Option(min=0, max=1, help="How vague the captions of --format scenes are.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Of a table without names, as image,caption,-,split.")] = None,
    languages: Annotated[str | None, typer.Option(help="Those whose captions are read, as en,de.")] = None,
    test_set: Annotated[str | None, typer.Option(help="Which one is read, of several.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a registered dataset.")] = False,
    sha256: Annotated[list[str] | None, typer.Option(help="Digest of the archive or URL, one for each.")] = None,
    unpack_limit: Annotated[
        float | None,
        typer.Option(min=0.001, max=10**9, help="GB an archive may unpack to, if not 200 or 100 times its size."),
    ] = None,
) -> None:
    """Check a dataset's files, register them, build the manifest. A folder is not copied, archives are unpacked."""
    from negbench.pipelines import prepare, project
    from negbench.pipelines.names import check_dataset

    file_format = "headerless" if columns is not None and file_format is None else file_format
    _check_places(places, precomp, file_format, ambiguity)
    check_dataset(name)
    project.read_params()  # what is wrong with it is told before any work
    told = _given(columns=columns, languages=languages, test_set=test_set, ambiguity=ambiguity)
    told |= _given(
        noise_ratio=noise_ratio or None, noise_seed=noise_seed if noise_ratio else None, noise_file=noise_file
    )
    with project.adding(name, _say) as again:  # what was cut short is taken up, if it comes out the same
        chosen = places or ([str(precomp)] if precomp else [])
        how: dict[str, Any] = {"encoder": encoder, "replace": replace, "again": again}
        option = "--from" if precomp is None else "--precomp"
        prepare.check_new(name, replace or again, chosen, sha256 or (), option)
        if chosen:
            how["file_format"] = prepare.PRECOMP if precomp else file_format
            how["settings"] = _given(any_counts=any_counts or None, skip_bad=skip_bad or None, stem=stem) | told
            manifest = _read(name, chosen, sha256 or (), unpack_limit, how)
        else:
            manifest = prepare.generate(name, str(file_format), told, **how)
        _register(name, manifest)


def _given(**settings: Any) -> dict[str, Any]:
    """The settings that have a value."""
    return {key: value for key, value in settings.items() if value is not None}


def _check_places(
    places: list[str] | None, precomp: Path | None, file_format: str | None, ambiguity: float | None
) -> None:
    """``RequestError`` where it is not clear where the data is to come from."""
    from negbench.pipelines import prepare

    generated = not places and precomp is None and file_format is not None
    if ambiguity is not None and not generated:
        raise RequestError("--ambiguity is a setting of --format scenes, which takes no files")
    if bool(places) == (precomp is not None) and not generated:
        raise RequestError(
            "give either --from DIR or --precomp DIR, or --format scenes; --from takes archives and URLs too"
        )
    if precomp is not None and file_format not in (None, prepare.PRECOMP):
        raise RequestError(f"--precomp is --format {prepare.PRECOMP}; leave --format out")


def _read(
    name: str, chosen: list[str], sha256: Sequence[str], unpack_limit: float | None, how: dict[str, Any]
) -> "Manifest":
    """Bring files in, with progress on stderr."""
    from negbench.benchmark.reports.progress import transfer
    from negbench.pipelines import prepare
    from negbench.pipelines.sources.download import plain

    _say(f"reading {', '.join(map(plain, chosen))}")
    most = int(unpack_limit * 10**9) if unpack_limit else None
    with transfer(log()) as report:
        manifest = prepare.add(name, *chosen, sha256=sha256, most=most, progress=report, **how)
    _say(f"format: {manifest.info['format']}")
    return manifest


def _say(line: str) -> None:
    log().print(line)


def _register(name: str, manifest: "Manifest") -> None:
    """List a new dataset in the project, let DVC record it, and tell."""
    from negbench.benchmark.recipe.stages import mark_params
    from negbench.benchmark.reports.terminal.manifest import show
    from negbench.pipelines import project, sources, stronger_texts

    default = sources.read(name).encoder
    show(manifest)
    if project.list_in_params(name, default, _say):
        _say(f"listed in {project.PARAMS} with encoder {default}")
    else:
        _say(f"there is no {project.PARAMS} to list it in")
    if hint := stronger_texts.hint(default):
        _say(hint)
    lost = []
    for told in project.track(name, mark_params, _say):
        lost += [] if told.done else [told.line]
        _say(told.line) if told.done else None
    _say(f"next: bench features --dataset {name}")
    if lost:
        raise NotTrackedError(f"'{name}' is added, but {'; '.join(lost)}")


@app.command(cls=complete.Completing)
def prepare(name: Added) -> None:
    """Build data/NAME from data/NAME.yaml."""
    from negbench.benchmark.reports.terminal.manifest import show
    from negbench.pipelines import prepare as pipeline

    show(pipeline.prepare(name))


@app.command(cls=complete.Completing)
def check(name: Added, as_json: Json = False) -> None:
    """Look closely at a dataset: every file, duplicates, captions, encodings, judgements, truth."""
    from negbench.benchmark.reports.progress import encoding
    from negbench.benchmark.reports.terminal import dataset_check
    from negbench.pipelines import checks

    with encoding(log()) as progress:
        report = checks.check(name, progress)
    if as_json:
        typer.echo(json_text(asdict(report)))
    else:
        dataset_check.show(report, wide(out()))
    if report.errors:
        where = "JSON" if as_json else "table"
        raise NoDataError(f"{name}: {dataset_check.kinds(len(report.errors), 'errors')}; the {where} says what to do")


@app.command(cls=complete.Completing)
def diff(
    name: Added,
    revision: Annotated[str, typer.Argument(help="A git revision: the older version.")] = "HEAD",
    as_json: Json = False,
) -> None:
    """Tell what changed in a dataset since a git revision: images, captions, judgements, splits."""
    from negbench.benchmark.reports.terminal.dataset_diff import show
    from negbench.pipelines.diff import diff as compare

    found = compare(name, revision)
    if as_json:
        typer.echo(json_text(asdict(found)))
    else:
        show(name, revision, found, out())


@app.command("list", cls=complete.Completing)
def list_datasets(as_json: Json = False) -> None:
    """List registered datasets, and well-known ones that are not added yet."""
    from negbench.benchmark.reports.terminal.dataset_list import show
    from negbench.pipelines.sources import listing

    entries = listing.entries()
    if as_json:
        typer.echo(json_text([asdict(entry) for entry in entries]))
    else:
        show(entries)


@app.command(cls=complete.Completing)
def where(
    name: Annotated[str | None, typer.Argument(help="A well-known dataset; all are listed if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Say where a well-known dataset comes from, under which terms, and which files are expected."""
    from negbench.benchmark.reports.terminal.known_datasets import show, show_list
    from negbench.pipelines.sources.known import KNOWN

    if name is not None and name not in KNOWN:
        raise DataError(unknown("well-known dataset", name, KNOWN))
    if as_json:
        about = {key: asdict(known) for key, known in KNOWN.items()}
        typer.echo(json_text(about if name is None else about[name]))
    elif name is None:
        show_list(KNOWN, wide(out()))
    else:
        show(name, KNOWN[name], out())
