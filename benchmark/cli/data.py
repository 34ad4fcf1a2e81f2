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

PIPE = 200
"""Columns to write in where there is no terminal."""
SHOWN = 5
"""Bad rows that ``add`` tells of."""

app = typer.Typer(no_args_is_help=True, help="Bring datasets in, check them, build their manifests.")
Name = Annotated[str, typer.Argument(help="Name of the dataset: small letters, digits, - and _.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command()
def add(
    name: Name,
    folder: Annotated[Path | None, typer.Option("--from", help="Folder of the dataset's files.")] = None,
    precomp: Annotated[Path | None, typer.Option(help="Folder of precomputed features.")] = None,
    file_format: Annotated[str | None, typer.Option("--format", help="Reader; found by looking if not given.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Encoder used when none is named.")] = None,
    any_counts: Annotated[
        bool, typer.Option("--any-counts", help="Accept other sizes than the name stands for.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad rows and pictures out, counted, in place of stopping.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a registered dataset.")] = False,
) -> None:
    """Check a dataset's files, register them, build the manifest. Pictures inside archives are copied, others not."""
    from pipelines import prepare, project, sources

    if (folder is None) == (precomp is None):
        raise RequestError("give either --from DIR or --precomp DIR")
    if precomp is not None and file_format not in (None, prepare.PRECOMP):
        raise RequestError(f"--precomp is --format {prepare.PRECOMP}; leave --format out")
    path = folder or precomp
    assert path is not None
    prepare.check_new(name, replace)
    project.read_params()  # what is wrong with it is told before anything is written
    log().print(f"reading {path}", markup=False)
    manifest = prepare.add(
        name,
        path,
        file_format=prepare.PRECOMP if precomp else file_format,
        encoder=encoder,
        any_counts=any_counts,
        skip_bad=skip_bad,
        replace=replace,
    )
    source = sources.read(name)
    default = source.encoder
    log().print(f"format: {source.format}", markup=False)
    _tell(manifest)
    if project.list_in_params(name, default):
        log().print(f"listed in {project.PARAMS} with encoder {default}", markup=False)
    else:
        log().print(f"there is no {project.PARAMS} to list it in", markup=False)
    log().print(project.track(name), markup=False)
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
    for message in manifest.info.get("bad", [])[:SHOWN]:
        log().print(f"bad row: {message}", style="yellow", markup=False)


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
