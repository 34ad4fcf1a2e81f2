"""``bench data``: bring datasets in, look at them, build their manifests."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.errors import NoDataError
from benchmark.screen import log, out
from pipelines.errors import RequestError

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.known import Known

PIPE = 200
"""Columns to write in where there is no terminal."""

app = typer.Typer(no_args_is_help=True, help="Bring datasets in, check them, build their manifests.")
Name = Annotated[str, typer.Argument(help="Name of the dataset: small letters, digits, - and _.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command()
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
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a registered dataset.")] = False,
    sha256: Annotated[list[str] | None, typer.Option(help="Digest of the archive or URL, one for each.")] = None,
    unpack_limit: Annotated[
        float | None, typer.Option(min=0.001, help="GB an archive may unpack to, if not 200 or 100 times its size.")
    ] = None,
) -> None:
    """Check a dataset's files, register them, build the manifest. A folder is read where it is and not copied."""
    from benchmark.transfer_progress import progress
    from pipelines import prepare, project, sources
    from pipelines.download import plain

    if bool(places) == (precomp is not None):
        raise RequestError("give either --from DIR or --precomp DIR; --from takes archives and URLs too")
    if precomp is not None and file_format not in (None, prepare.PRECOMP):
        raise RequestError(f"--precomp is --format {prepare.PRECOMP}; leave --format out")
    chosen = places or [str(precomp)]
    replace = replace or project.was_cut_short(name)  # what is wrong with params.yaml is told before any work
    prepare.check_new(name, replace)
    log().print(f"reading {', '.join(map(plain, chosen))}", markup=False)
    with progress(log()) as report:
        manifest = prepare.add(
            name,
            *chosen,
            sha256=sha256 or (),
            most=int(unpack_limit * 10**9) if unpack_limit else None,
            file_format=prepare.PRECOMP if precomp else file_format,
            encoder=encoder,
            any_counts=any_counts,
            replace=replace,
            progress=report,
        )
    default = sources.read(name).encoder
    _tell(manifest)
    if project.list_in_params(name, default):
        log().print(f"listed in {project.PARAMS} with encoder {default}", markup=False)
    else:
        log().print(f"there is no {project.PARAMS} to list it in", markup=False)
    for line in project.track(name):
        log().print(line, markup=False)
    log().print(f"next: bench features --dataset {name}", markup=False)


@app.command()
def prepare(name: Name) -> None:
    """Build data/NAME from data/NAME.yaml."""
    from pipelines import prepare as pipeline

    _tell(pipeline.prepare(name))


@app.command()
def check(name: Name, as_json: Json = False) -> None:
    """Look closely at a dataset: counts, duplicates, changed files, judgements, truth."""
    from rich.table import Table

    from pipelines import checks

    report = checks.check(name)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2, ensure_ascii=False))
    else:
        table = Table("split", "images", "expected", "captions", "captions per image", title=name)
        for split, row in report.splits.items():
            fewest, most = row["captions_per_image"]
            each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            expected = "–" if row["expected"] is None else f"{row['expected']:,}"
            table.add_row(split, f"{row['images']:,}", expected, f"{row['captions']:,}", each)
        _show(table)
        facts = Table(show_header=False)
        for what, value in _flat(report.facts):
            facts.add_row(what, value)
        _show(facts)
        for line in report.warnings:
            log().print(f"warning: {line}", style="yellow", markup=False)
    if report.errors:
        more = f" (and {len(report.errors) - 1} more)" if len(report.errors) > 1 else ""
        raise NoDataError(f"{report.errors[0]}{more}")
    if not as_json:
        out().print("no errors" + (f", {len(report.warnings)} warnings" if report.warnings else ""))


@app.command("list")
def list_datasets(as_json: Json = False) -> None:
    """List registered datasets, and well-known ones that are not added yet."""
    from rich.table import Table

    from pipelines import listing

    entries = listing.entries()
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=2, ensure_ascii=False))
        return
    table = Table("dataset", "status", "format", "train", "val", "test", "encoder", "what it is")
    for entry in entries:
        counts = [f"{entry.images[split]:,}" if split in entry.images else "–" for split in ("train", "val", "test")]
        table.add_row(entry.name, entry.status, entry.format or "–", *counts, entry.encoder, entry.title)
    _show(table)
    for entry in entries:
        if entry.how_to_add:
            log().print(entry.how_to_add, style="dim", markup=False)


@app.command()
def where(
    name: Annotated[str | None, typer.Argument(help="A well-known dataset; all are listed if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Say where a well-known dataset comes from, under which terms, and which files are expected."""
    from rich.table import Table

    from pipelines.errors import unknown
    from pipelines.known import KNOWN

    if name is not None and name not in KNOWN:
        raise RequestError(unknown("well-known dataset", name, KNOWN))
    if as_json:
        about = {key: asdict(known) for key, known in KNOWN.items()}
        typer.echo(json.dumps(about if name is None else about[name], indent=2, ensure_ascii=False))
    elif name is None:
        table = Table("dataset", "what it is", "images", "where it comes from")
        for key, known in KNOWN.items():
            table.add_row(key, known.title, f"{sum(known.counts.values()):,}", f"bench data where {key}")
        _show(table)
    else:
        _show_where(name, KNOWN[name])


def _show_where(name: str, known: "Known") -> None:
    counts = ", ".join(f"{split} {count:,}" for split, count in known.counts.items())
    lines = [f"{known.title}: {counts} images; protocol {known.protocol}", "", "Get"]
    for number, download in enumerate(known.downloads, start=1):
        lines += [
            f"{number}. {download.what}",
            f"   from   {download.provider}",
            f"   page   {download.page}",
            f"   terms  {download.terms}",
        ]
    lines += ["", "Unpack it so", known.tree, "", f"Note: {known.note}"]
    lines += ["", "Then run", f"  bench data add {name} --from DIR", "", f"Cite: {known.citation}"]
    lines += [
        f"  {add} FIRST.zip --from SECOND.zip",
        "",
        f"Cite: {known.citation}",
    ]
    for line in lines:
        out().print(line, markup=False)


def _show(table: "Table") -> None:
    """A table as wide as it needs to be where no terminal sets its width."""
    console = out()
    if not console.is_terminal:
        console.width = PIPE
    console.print(table)


def _tell(manifest: Any) -> None:
    counts = manifest.counts()
    sizes = ", ".join(
        f"{split} {row['images']:,} images / {row['captions']:,} captions" for split, row in counts.items()
    )
    out().print(f"{manifest.name}: {sizes}", markup=False)
    for what, number in manifest.info.get("skipped", {}).items():
        log().print(f"left out: {number:,} {what}", markup=False)


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Facts as rows of text, nested ones under their parent's name."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}: ")
        elif isinstance(value, float):
            rows.append((prefix + key, f"{value:,.3f}"))
        else:
            rows.append((prefix + key, f"{value:,}" if isinstance(value, int) else str(value)))
    return rows
