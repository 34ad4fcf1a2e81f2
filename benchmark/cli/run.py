"""``bench run``: one cell."""

from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from negbench.benchmark.reports.screen import log, out
from negbench.pipelines.text import json_text

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig
    from negbench.benchmark.results.records import RunRecord


LINE = 79
"""Characters in a line of the configuration."""


def run(
    method: Annotated[str | None, typer.Option(help="Method; bench methods lists them.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Dataset; bench data list shows them.")] = None,
    seed: Annotated[int | None, typer.Option(help="Root seed.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Encoder; the dataset's own if not given.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training captions.")] = None,
    batch: Annotated[int | None, typer.Option(help="Anchors per step.")] = None,
    memory: Annotated[int | None, typer.Option(help="Pairs in the momentum memory; 0: none.")] = None,
    device: Annotated[str | None, typer.Option(help="Device, as torch names it.")] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="key=value of the recipe or method.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML or JSON file with the same keys.")] = None,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the record; {dataset}, {method} and {seed} stand for the cell's own."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run again what is recorded.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a record with other settings.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Train and evaluate one cell, and record it."""
    from negbench.benchmark.recipe.flags import parse_changes, resolve

    flags = {
        "method": method,
        "dataset": dataset,
        "seed": seed,
        "encoder": encoder,
        "epochs": epochs,
        "batch": batch,
        "memory": memory,
        "device": device,
    }
    resolved = resolve(flags, parse_changes(changes or []), config)

    from negbench.benchmark.cli.features import ensure_with_progress
    from negbench.benchmark.reports import destinations
    from negbench.benchmark.reports.progress import ShowTraining
    from negbench.benchmark.results import records
    from negbench.benchmark.sweeps import cell, places
    from negbench.benchmark.sweeps.tracking import is_added, is_tracked, track
    from negbench.benchmark.training import devices
    from negbench.benchmark.training.checkpoint import alone

    folder = cell.folder_of(resolved) if to is None else filled(to, resolved, method)
    destinations.check_folder(f"--out {folder}" if to else str(folder), folder, records.KIND, records.RUNS)
    show_config(resolved)
    devices.check_cell(resolved)  # before features are made
    manifest, store = ensure_with_progress(resolved.dataset, resolved.encoder)
    found = None if force else places.found(folder, resolved, manifest, store, replace)
    if found is None:
        with alone(folder, partial(log().print, markup=False)):
            found = None if force else places.found(folder, resolved, manifest, store, replace)
            if found is None:  # nobody else made it meanwhile
                with ShowTraining(log(), resolved) as watcher:
                    found = cell.run(resolved, folder, manifest, store, watcher), "recorded"
    record, said = found
    if as_json:
        typer.echo(json_text(record.model_dump(mode="json")))
    else:
        show_record(record)
    without = f" without an audit: {record.error}" if record.error else ""
    log().print(f"{said} in {folder}{without}", markup=False)
    if is_tracked() and not (said == places.THERE and is_added(folder)):
        for line in track([(resolved, folder)], partial(log().print, markup=False)):
            log().print(line, markup=False)


def filled(place: Path, config: "RunConfig", method: str | None) -> Path:
    """``--out`` with the cell's own names in it, the method's as it was asked for, or as that of its file."""
    asked = method if method and "+" in method else config.method.replace("-", "_")
    own = {"dataset": config.dataset, "method": asked, "seed": str(config.seed)}
    text = str(place)
    for key, value in own.items():
        text = text.replace("{" + key + "}", value)
    return Path(text)


def show_config(config: "RunConfig") -> None:
    """The resolved configuration, in full, a few keys per line."""
    log().print(f"{config.method_id} on {config.dataset}, seed {config.seed}", style="bold", markup=False)
    content = config.model_dump(exclude={"method", "dataset", "seed", "settings"})
    text = "  ".join(f"{key}={value}" for key, value in content.items())
    for line in wrap(text, LINE, break_long_words=False, break_on_hyphens=False):
        log().print(line, style="dim", markup=False)


def show_record(record: "RunRecord") -> None:
    """The test metrics."""
    from rich.table import Table

    table = Table("", "R@1", "R@5", "R@10", "median", "mean", title=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for direction in ("i2t", "t2i"):
        values = [record.metrics[f"{direction}_{name}"] for name in ("r1", "r5", "r10", "medr", "meanr")]
        table.add_row(direction, *(f"{value:.1f}" for value in values))
    protocol = record.protocol
    out().print(table)
    line = (
        f"rSum {record.metrics['rsum']:.1f}  {protocol.name} ({protocol.images} images, {protocol.captions} captions)"
    )
    if "true_rsum" in record.metrics:
        line += f"  true rSum {record.metrics['true_rsum']:.1f}"
    if "extended_rsum" in record.metrics:
        line += f"  with extended positives {record.metrics['extended_rsum']:.1f}"
    if "both" in record.false_negative_rate:
        line += f"  false negatives picked {100 * record.false_negative_rate['both']:.1f}%"
    if record.status == "collapsed":
        line += "  COLLAPSED"
    for other in record.others:
        line += f"  {other.protocol.name} rSum {other.metrics['rsum']:.1f}"
    if record.best_epoch is not None and record.best_epoch < record.config.warmup_epochs:
        line += "  of the WARM-UP: no later epoch was better on validation"
    out().print(line, markup=False)
