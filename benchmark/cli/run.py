"""``bench run``: one cell."""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.cli.tracked import tell_dvc
from negbench.benchmark.cli.worker_flags import EncoderName, RecipeName, Track
from negbench.benchmark.reports.screen import log, out
from negbench.pipelines.text import json_text, short

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import Judging, RunConfig
    from negbench.benchmark.results.records import RunRecord
    from negbench.benchmark.trackers.base import Tracker


PLACEHOLDER = re.compile(r"{([^{}]*)}")
"""In ``--out``, for a name of the cell."""
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", autocompletion=complete.key, help="key=value of recipe or method; image.KEY, text.KEY of a tower."
    ),
]


def run(
    method: Annotated[
        str | None, typer.Option(autocompletion=complete.method, help="Method; bench methods lists them.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(autocompletion=complete.dataset, help="Dataset; bench data list shows them.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Root seed.")] = None,
    recipe: RecipeName = None,
    encoder: EncoderName = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training captions.")] = None,
    batch: Annotated[int | None, typer.Option(help="Anchors per step.")] = None,
    memory: Annotated[int | None, typer.Option(help="Pairs in the momentum memory; 0: none.")] = None,
    device: Annotated[str | None, typer.Option(help="Device, as torch names it.")] = None,
    image_tower: Annotated[
        str | None, typer.Option(autocompletion=complete.tower, help="Image tower; bench models lists them.")
    ] = None,
    text_tower: Annotated[str | None, typer.Option(autocompletion=complete.tower, help="Text tower.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes that share each batch, on this machine.")] = 1,
    micro_batch: Annotated[int | None, typer.Option(help="Pairs in a tower at once; 0: the whole batch.")] = None,
    changes: Changes = None,
    config: Annotated[Path | None, typer.Option(help="YAML or JSON file with the same keys.")] = None,
    track: Track = None,
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
    from negbench.benchmark.trackers import registry

    flags = {
        "method": method,
        "dataset": dataset,
        "seed": seed,
        "preset": recipe,
        "encoder": encoder,
        "epochs": epochs,
        "batch": batch,
        "memory": memory,
        "device": device,
        "image_tower": image_tower,
        "text_tower": text_tower,
        "micro_batch": micro_batch,
    }
    resolved = resolve(flags, parse_changes(changes or []), config)
    trackers = registry.chosen(track or [])
    if processes > 1 and "WORLD_SIZE" not in os.environ:
        from negbench.benchmark.sweeps.launch import launch
        from negbench.benchmark.training.processes import check_shared

        check_shared(resolved.batch, processes)
        raise typer.Exit(launch(processes, without_processes(sys.argv[1:])))
    _run(resolved, to, method, force, replace, as_json, trackers)


def _run(
    config: "RunConfig",
    to: Path | None,
    method: str | None,
    force: bool,
    replace: bool,
    as_json: bool,
    trackers: "dict[str, type[Tracker]]",
) -> None:
    """Run a cell, alone or as one of several processes."""
    from negbench.benchmark.reports import destinations
    from negbench.benchmark.reports.terminal import configuration
    from negbench.benchmark.reports.terminal.record import show
    from negbench.benchmark.results import records
    from negbench.benchmark.sweeps import cell, places
    from negbench.benchmark.sweeps.tracking import is_added
    from negbench.benchmark.training import devices, processes

    config = config.model_copy(update={"device": processes.join(config.device, config.batch)})
    folder = cell.folder_of(config) if to is None else filled(to, config, method)
    destinations.check_folder(f"--out {folder}" if to else str(folder), folder, records.KIND, records.RUNS)
    devices.check_cell(config)  # before features are made
    if processes.rank():
        _assist(config, folder)
        processes.leave()
        return
    configuration.show(config, log())
    record, said = _made(config, folder, force, replace, trackers)
    processes.leave()
    if as_json:
        typer.echo(json_text(record.model_dump(mode="json")))
    else:
        show(record, out())
    without = f" without an audit: {record.error}" if record.error else ""
    log().print(f"{said} in {folder}{without}{judged(record.about, config, folder)}")
    if not (said == places.THERE and is_added(folder)):
        tell_dvc([(config, folder)])


def judged(there: "Judging", asked: "Judging", folder: Path) -> str:
    """Where a record was judged by thresholds other than those asked for: by which, and what judges it anew."""
    from negbench.benchmark.recipe import schema

    other = [name for name in schema.Judging.model_fields if getattr(there, name) != getattr(asked, name)]
    if not other:
        return ""
    was = ", ".join(f"{name} {getattr(there, name)}" for name in other)
    flags = " ".join(f"--{name.replace('_', '-')} {getattr(asked, name)}" for name in other)
    return f", judged at {was}; bench audit {shlex.quote(str(folder))} {flags} judges it anew"


def _made(
    config: "RunConfig", folder: Path, force: bool, replace: bool, trackers: "dict[str, type[Tracker]]"
) -> "tuple[RunRecord, str]":
    """The record of a cell, and a word on whether it was there."""
    from negbench.benchmark.cli.features import ensure_for
    from negbench.benchmark.reports.progress import ShowTraining
    from negbench.benchmark.sweeps import cell, places
    from negbench.benchmark.trackers.tracking import tracking
    from negbench.benchmark.training import processes
    from negbench.benchmark.training.checkpoint import alone

    manifest, store = ensure_for(config)
    found = None if force else places.found(folder, config, manifest, store, replace)
    if found is None:
        with alone(folder, log().print):
            found = None if force else places.found(folder, config, manifest, store, replace)  # made meanwhile
            if processes.told(found is None):
                with ShowTraining(log(), config) as shown, tracking(trackers, config, folder, shown) as watcher:
                    record = cell.run(config, folder, manifest, store, watcher)
                    watcher.recorded(folder, record)
                    return record, "recorded"
    else:
        processes.told(False)
    assert found is not None
    return found


def _assist(config: "RunConfig", folder: Path) -> None:
    """A process that is not the first trains along, and leaves the record to it."""
    from negbench.benchmark.sweeps import cell
    from negbench.benchmark.training import processes
    from negbench.pipelines import features

    if processes.told(None):
        cell.assist(config, folder, *features.ensure(config.dataset, config.encoder))


def without_processes(words: list[str]) -> list[str]:
    """A command line without ``--processes``."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip or word.startswith("--processes="):
            skip = False
        elif word == "--processes":
            skip = True
        else:
            kept.append(word)
    return kept


def filled(place: Path, config: "RunConfig", method: str | None) -> Path:
    """``--out`` with the cell's own names in it, the method's as it was asked for, or as that of its file."""
    from negbench.benchmark.errors import BenchError

    asked = method if method and "+" in method else config.method.replace("-", "_")
    own = {"dataset": config.dataset, "method": asked, "seed": str(config.seed)}
    for key in PLACEHOLDER.findall(str(place)):
        if key not in own:
            valid = ", ".join(f"{{{name}}}" for name in own)
            raise BenchError(f"--out: unknown placeholder {{{short(key)}}}; valid: {valid}")
    return Path(PLACEHOLDER.sub(lambda found: own[found[1]], str(place)))
