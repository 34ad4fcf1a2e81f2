"""``bench tune``: search the settings of a method."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negbench.benchmark.cli.tracked import tell_dvc_of_study
from negbench.benchmark.cli.worker_flags import PerGpu, Scheduler, Storage
from negbench.benchmark.reports.screen import log, out
from negbench.pipelines.text import json_text

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig
    from negbench.benchmark.sweeps.engine.where import Where
    from negbench.benchmark.sweeps.studies import Outcome

FRESH = 3
"""Seeds that default and best are run with where no number is given."""


def tune(
    method: Annotated[str | None, typer.Option(help="Method; that of tune in params.yaml if not given.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Dataset; that of tune in params.yaml if not given.")] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, max=10**6, help="Trials in all, the first with the defaults; as in params.yaml, or 20."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Root seed, the same in all trials.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Encoder; the dataset's own if not given.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training captions.")] = None,
    memory: Annotated[int | None, typer.Option(help="Pairs in the momentum memory; 0: none.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Named recipe; bench recipes lists them.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the recipe or method; held in all trials.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML or JSON file with the same keys.")] = None,
    fresh_seeds: Annotated[
        int, typer.Option(min=0, max=10**6, help="Other seeds that default and best are run with.")
    ] = FRESH,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Trials asked together; the same number gives the same trials."),
    ] = None,
    per_gpu: PerGpu = None,
    scheduler: Scheduler = None,
    storage: Storage = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print study.json.")] = False,
) -> None:
    """Search the settings of a method by validation rSum. Run again, it goes on where it was stopped."""
    from negbench.benchmark.recipe.flags import parse_changes, resolve
    from negbench.benchmark.recipe.params import load_yaml, params

    named, content = params().tune, load_yaml(config) if config else {}
    flags = {
        "method": method or (None if "method" in content else named.method),
        "dataset": dataset or (None if "dataset" in content else named.dataset),
        "seed": seed,
        "encoder": encoder,
        "epochs": epochs,
        "memory": memory,
        "preset": recipe,
    }
    parsed = parse_changes(changes or [])
    resolved = resolve(flags, parsed, config)

    from negbench.benchmark.reports.terminal.study import show
    from negbench.benchmark.sweeps.tuning import folder_of

    trials, together = trials or named.trials, _together(jobs, per_gpu, scheduler)
    held = {*parsed, *(content.get("settings") or {})}
    outcome = _tuned(resolved, held, trials, fresh_seeds, together, storage)
    if as_json:
        typer.echo(json_text(outcome.summary()))
    else:
        show(outcome, folder_of(resolved), out())
    if not changes and config is None and fresh_seeds >= FRESH:
        tell_dvc_of_study(resolved, trials)


def _together(jobs: int | None, per_gpu: int | None, scheduler: str | None) -> "tuple[int, Where] | None":
    """How many trials are asked together, and where they are trained; None: one after the other, here."""
    from negbench.benchmark.errors import BenchError
    from negbench.benchmark.sweeps.engine.where import Where

    if jobs is None:
        if per_gpu is not None or scheduler is not None:
            raise BenchError("--jobs is missing: the number of trials that are asked together")
        return None
    return jobs, Where(None if scheduler else jobs, per_gpu, scheduler)


def _tuned(
    config: "RunConfig",
    held: set[str],
    trials: int,
    fresh_seeds: int,
    together: "tuple[int, Where] | None",
    storage: str | None,
) -> "Outcome":
    """Search what is not ``held``, with progress on stderr, and write what came out."""
    from negbench.benchmark.cli.features import ensure_for
    from negbench.benchmark.reports import study_folder
    from negbench.benchmark.reports.progress import ShowTuning
    from negbench.benchmark.reports.terminal import configuration
    from negbench.benchmark.sweeps import tuning
    from negbench.benchmark.sweeps.cell import texts_for
    from negbench.benchmark.sweeps.database import Database
    from negbench.benchmark.sweeps.rounds import helpers_of
    from negbench.benchmark.sweeps.search_space import space_of
    from negbench.benchmark.training import devices
    from negbench.benchmark.training.inputs import check_towers
    from negbench.pipelines.sources import manifest_folder
    from negbench.pipelines.truth import Truth

    database = Database(storage, log().print) if storage is not None else None
    devices.check_cell(config)
    space = space_of(config, held)
    configuration.show(config, log())
    manifest, store = ensure_for(config)
    check_towers(store, config)
    truth = Truth.read(manifest_folder(config.dataset))
    texts = texts_for(config.method, manifest, store)
    task = tuning.TuningTask(config, space, manifest.hash, store, truth, texts)
    folder = tuning.folder_of(config)
    try:
        with (
            helpers_of(together, task, log().print) as helpers,
            ShowTuning(log(), trials, config.epochs, task.defaults) as watcher,
        ):
            return tuning.tune(task, folder, trials, fresh_seeds, watcher, study_folder.write, helpers, database)
    except KeyboardInterrupt:
        log().print(f"kept in {'the database' if database else folder}; the same command goes on with it")
        raise
