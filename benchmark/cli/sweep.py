"""``bench sweep``: many cells."""

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.cli.tracked import tell_dvc
from negbench.benchmark.cli.worker_flags import PerGpu, RecipeName, Scheduler, Track
from negbench.benchmark.reports.screen import log
from negbench.pipelines.text import clean

if TYPE_CHECKING:
    from negbench.benchmark.sweeps.sweep import Done

Changes = Annotated[
    list[str] | None,
    typer.Option("--set", autocompletion=complete.key, help="key=value, for every cell; key=a,b is a grid."),
]


def sweep(
    methods: Annotated[
        str,
        typer.Option(
            autocompletion=complete.methods,
            help="Methods, separated by commas: fne, fne[tau_false=5], all, family:softmax.",
        ),
    ],
    datasets: Annotated[str, typer.Option(autocompletion=complete.datasets, help="Datasets, separated by commas.")],
    seeds: Annotated[str, typer.Option(help="How many, from 0 on; or which: 3,4 or 0-4.")] = "3",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training captions.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory sizes, separated by commas, such as 0,4096.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Cells at a time on this machine; 1 if not given.")
    ] = None,
    per_gpu: PerGpu = None,
    scheduler: Scheduler = None,
    recipe: RecipeName = None,
    changes: Changes = None,
    track: Track = None,
    force: Annotated[bool, typer.Option("--force", help="Run again what is recorded.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands and stop.")] = False,
) -> None:
    """Run every combination of methods, datasets, memories and seeds. What is recorded is not run again."""
    from negbench.benchmark.cli.features import ensure_for
    from negbench.benchmark.errors import BenchError, SweepFailedError
    from negbench.benchmark.reports.watch.sweep_screen import ShowSweep
    from negbench.benchmark.sweeps import sweep as sweeps
    from negbench.benchmark.sweeps.cell import folder_of
    from negbench.benchmark.sweeps.engine.where import Where
    from negbench.benchmark.sweeps.words import changes_of, seeds_of
    from negbench.benchmark.trackers import registry

    where = Where(jobs, per_gpu, scheduler)
    words = changes_of({"preset": recipe, "epochs": epochs}, changes or [])
    told = registry.chosen(track or [])
    plan = sweeps.cells(methods, names(datasets), seeds_of(seeds), sizes(memory), words, force, told)
    if not plan:
        raise BenchError("nothing to run: name at least one method and one dataset")
    configs = [cell.config for cell in plan]  # a wrong word is told before the first cell runs
    if dry_run:
        for cell in plan:
            typer.echo(clean(shlex.join(["bench", *cell.command])))
        return
    for config in {(config.dataset, config.encoder, config.guide_encoder): config for config in configs}.values():
        ensure_for(config)  # once, before all cells ask for them at the same time
    screen = log()
    with where.crew(configs, screen.print) as (crew, place), ShowSweep(screen, plan) as shown:
        done = sweeps.run(plan, crew, place, lambda one: shown.finished(_with_recall(one)), shown.running)
    good = {one.cell for one in done if one.code == 0}
    tell_dvc([(config, folder_of(config)) for cell, config in zip(plan, configs, strict=True) if cell in good])
    failed = [one for one in done if one.code != 0]
    if failed:
        raise SweepFailedError(f"{len(failed)} of {len(done)} cells failed; their logs are in {sweeps.LOGS}")


def _with_recall(done: "Done") -> "Done":
    """With the rSum of its record in its line."""
    from negbench.benchmark.results import records
    from negbench.benchmark.sweeps.cell import folder_of

    rsum = None if done.code else records.read(folder_of(done.cell.config)).metrics.get("rsum")
    return done if rsum is None else replace(done, line=f"rSum {rsum:.1f}  {done.line}")


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def sizes(text: str | None) -> list[int | None]:
    """Memory sizes; [None] leaves it to the recipe."""
    if text is None:
        return [None]
    try:
        return [int(size) for size in names(text)]
    except ValueError:
        raise typer.BadParameter(f"{text} is not a list of numbers", param_hint="--memory") from None
