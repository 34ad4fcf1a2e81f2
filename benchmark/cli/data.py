"""``bench data``: bring datasets in, look at them, build their manifests."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from negbench.benchmark.errors import NoDataError, NotTrackedError
from negbench.benchmark.reports.screen import log, out, wide
from negbench.pipelines.errors import DataError, RequestError, unknown
from negbench.pipelines.text import json_text, one_line

if TYPE_CHECKING:
    from rich.table import Table

    from negbench.pipelines.checks import Report
    from negbench.pipelines.manifest import Manifest
    from negbench.pipelines.sources.known import Known

SHOWN = 5
"""Bad rows that ``add`` tells of."""

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
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad rows and pictures out, counted, in place of stopping.")
    ] = False,
    noise_ratio: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the training captions exchanged among images.")
    ] = 0.0,
    noise_seed: Annotated[int, typer.Option(min=0, help="Which captions are exchanged.")] = 0,
    ambiguity: Annotated[
        float | None, typer.Option(min=0, max=1, help="How vague the captions of --format scenes are.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a registered dataset.")] = False,
    sha256: Annotated[list[str] | None, typer.Option(help="Digest of the archive or URL, one for each.")] = None,
    unpack_limit: Annotated[
        float | None,
        typer.Option(min=0.001, max=10**9, help="GB an archive may unpack to, if not 200 or 100 times its size."),
    ] = None,
) -> None:
    """Check a dataset's files, register them, build the manifest. A folder is not copied, archives are unpacked."""
    from negbench.benchmark.reports.transfer_progress import progress
    from negbench.pipelines import prepare, project
    from negbench.pipelines.names import check_dataset
    from negbench.pipelines.sources.download import plain

    noise = {"noise_ratio": noise_ratio, "noise_seed": noise_seed} if noise_ratio else {}
    generated = not places and precomp is None and file_format is not None
    if ambiguity is not None and not generated:
        raise RequestError("--ambiguity is a setting of --format scenes, which takes no files")
    if bool(places) == (precomp is not None) and not generated:
        raise RequestError(
            "give either --from DIR or --precomp DIR, or --format scenes; --from takes archives and URLs too"
        )
    if precomp is not None and file_format not in (None, prepare.PRECOMP):
        raise RequestError(f"--precomp is --format {prepare.PRECOMP}; leave --format out")
    check_dataset(name)
    project.read_params()  # what is wrong with it is told before any work
    with project.adding(name, _say) as again:  # what was cut short is taken up, if it comes out the same
        chosen = [] if generated else places or [str(precomp)]
        option = "--from" if precomp is None else "--precomp"
        prepare.check_new(name, replace or again, chosen, sha256 or (), option)
        if generated:
            vague = {} if ambiguity is None else {"ambiguity": ambiguity}
            manifest = prepare.generate(
                name, str(file_format), vague | noise, encoder=encoder, replace=replace, again=again
            )
        else:
            _say(f"reading {', '.join(map(plain, chosen))}")
            with progress(log()) as report:
                manifest = prepare.add(
                    name,
                    *chosen,
                    sha256=sha256 or (),
                    most=int(unpack_limit * 10**9) if unpack_limit else None,
                    file_format=prepare.PRECOMP if precomp else file_format,
                    encoder=encoder,
                    settings={key: True for key, on in (("any_counts", any_counts), ("skip_bad", skip_bad)) if on}
                    | noise,
                    replace=replace,
                    again=again,
                    progress=report,
                )
            _say(f"format: {manifest.info['format']}")
        _register(name, manifest)


def _say(line: str) -> None:
    log().print(line, markup=False)


def _register(name: str, manifest: "Manifest") -> None:
    """List a new dataset in the project, let DVC record it, and tell."""
    from negbench.benchmark.recipe.stages import mark_params
    from negbench.pipelines import project, sources

    default = sources.read(name).encoder
    _tell(manifest)
    if project.list_in_params(name, default, _say):
        _say(f"listed in {project.PARAMS} with encoder {default}")
    else:
        _say(f"there is no {project.PARAMS} to list it in")
    lost = []
    for told in project.track(name, mark_params, _say):
        lost += [] if told.done else [told.line]
        _say(told.line) if told.done else None
    _say(f"next: bench features --dataset {name}")
    if lost:
        raise NotTrackedError(f"'{name}' is added, but {'; '.join(lost)}")


@app.command()
def prepare(name: Name) -> None:
    """Build data/NAME from data/NAME.yaml."""
    from negbench.pipelines import prepare as pipeline

    _tell(pipeline.prepare(name))


@app.command()
def check(name: Name, as_json: Json = False) -> None:
    """Look closely at a dataset: every file, duplicates, captions, encodings, judgements, truth."""
    from rich.table import Table

    from negbench.benchmark.reports.encoding_progress import progress
    from negbench.pipelines import checks

    with progress(log()) as report_progress:
        report = checks.check(name, report_progress)
    if as_json:
        typer.echo(json_text(asdict(report)))
    else:
        table = Table("split", "images", "expected", "captions", "per image", "true by equal captions", title=name)
        for split, row in report.splits.items():
            fewest, most = row["captions_per_image"]
            each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            expected = "–" if row["expected"] is None else f"{row['expected']:,}"
            equal = f"{row['pairs_true_by_equal_captions']:,} pairs"
            table.add_row(split, f"{row['images']:,}", expected, f"{row['captions']:,}", each, equal)
        _show(table)
        facts = Table(show_header=False)
        for what, value in _flat(report.facts):
            facts.add_row(what, value)
        _show(facts)
        if report.errors or report.warnings:
            _show(_findings(report))
    if report.errors:
        where = "JSON" if as_json else "table"
        raise NoDataError(f"{name}: {_kinds(len(report.errors), 'errors')}; the {where} says what to do")
    if not as_json:
        out().print("no errors" + (f", {_kinds(len(report.warnings), 'warnings')}" if report.warnings else ""))


@app.command()
def diff(
    name: Name,
    revision: Annotated[str, typer.Argument(help="A git revision: the older version.")] = "HEAD",
    as_json: Json = False,
) -> None:
    """Tell what changed in a dataset since a git revision: images, captions, judgements, splits."""
    from negbench.pipelines.diff import diff as compare

    found = compare(name, revision)
    if as_json:
        typer.echo(json_text(asdict(found)))
        return
    if not found.changes:
        out().print(f"{name}: the same as at {revision} ({found.new[:8]})", markup=False)
        return
    out().print(f"{name}: {revision} ({found.old[:8]}) → now ({found.new[:8]})", markup=False)
    for change in found.changes:
        table = change.table.removesuffix("s") if change.count == 1 else change.table
        out().print(f"{change.count:,} {table} {change.what}", style="bold", markup=False)
        for example in [*change.examples, *(["…"] if change.count > len(change.examples) > 0 else [])]:
            out().print(f"  {one_line(example)}", markup=False)


@app.command("list")
def list_datasets(as_json: Json = False) -> None:
    """List registered datasets, and well-known ones that are not added yet."""
    from rich.table import Table

    from negbench.pipelines.sources import listing

    entries = listing.entries()
    if as_json:
        typer.echo(json_text([asdict(entry) for entry in entries]))
        return
    table = Table("dataset", "status", "format", "train", "val", "test", "encoder", "what it is")
    for entry in entries:
        counts = [f"{entry.images[split]:,}" if split in entry.images else "–" for split in ("train", "val", "test")]
        table.add_row(
            entry.name,
            entry.status,
            entry.format or "–",
            *counts,
            entry.encoder or "–",
            ", ".join(filter(None, (entry.title, entry.knobs))),
        )
    _show(table)
    for entry in entries:
        if entry.fault:
            log().print(f"broken: {entry.fault}", style="red", markup=False)
    if missing := [entry.name for entry in entries if entry.how_to_add]:
        log().print(f"how to get {', '.join(missing)}: bench data where NAME", style="dim", markup=False)


def _kinds(number: int, what: str) -> str:
    return f"{number} kind{'s' * (number > 1)} of {what}"


def _findings(report: "Report") -> "Table":
    """What was found, how often, examples, and what to do."""
    from rich.table import Table
    from rich.text import Text

    table = Table("", "found", show_lines=True)
    for level, style, findings in (("error", "red", report.errors), ("warning", "yellow", report.warnings)):
        for one in findings:
            more = ["…"] if one.count > len(one.examples) else []
            found = Text(f"{one.what}: {one.count:,}\n", style="bold")
            found.append("\n".join([*map(one_line, one.examples), *more]), style="not bold")
            found.append(f"\n→ {one.todo}", style="not bold dim")
            table.add_row(Text(level, style=style), found)
    return table


@app.command()
def where(
    name: Annotated[str | None, typer.Argument(help="A well-known dataset; all are listed if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Say where a well-known dataset comes from, under which terms, and which files are expected."""
    from rich.table import Table

    from negbench.pipelines.sources.known import KNOWN

    if name is not None and name not in KNOWN:
        raise DataError(unknown("well-known dataset", name, KNOWN))
    if as_json:
        about = {key: asdict(known) for key, known in KNOWN.items()}
        typer.echo(json_text(about if name is None else about[name]))
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
    lines += [
        "",
        "Then run",
        f"  bench data add {name} --from DIR",
        f"  bench data add {name} --from FIRST.zip --from SECOND.zip",
        "",
        f"Cite: {known.citation}",
    ]
    for line in lines:
        out().print(line, markup=False)


def _show(table: "Table") -> None:
    """A table as wide as it needs to be where no terminal sets its width."""
    wide(out()).print(table)


def _tell(manifest: "Manifest") -> None:
    from negbench.pipelines.manifest import FEWEST

    counts = manifest.counts()
    sizes = ", ".join(
        f"{split} {row['images']:,} images / {row['captions']:,} captions" for split, row in counts.items()
    )
    out().print(f"{manifest.name}: {sizes}", markup=False)
    for split in ("val", "test"):
        if counts[split]["images"] < FEWEST:
            few = f"{split} has {counts[split]['images']:,} images, bench run needs {FEWEST}"
            log().print(f"warning: {few}", style="yellow", markup=False)
    for what, number in manifest.info.get("skipped", {}).items():
        log().print(f"left out: {number:,} {what}", markup=False)
    if noise := manifest.info.get("noise"):
        log().print(f"noise: {noise['exchanged']:,} of {noise['captions']:,} training captions exchanged", markup=False)
    for message in manifest.info.get("bad", [])[:SHOWN]:
        log().print(f"bad row: {one_line(message)}", style="yellow", markup=False)


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Facts as rows of text, nested ones under their parent's name."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}: ")
        elif isinstance(value, bool):
            rows.append((prefix + key, "yes" if value else "no"))
        elif isinstance(value, float):
            rows.append((prefix + key, f"{value:,.3f}"))
        else:
            rows.append((prefix + key, f"{value:,}" if isinstance(value, int) else str(value)))
    return rows
