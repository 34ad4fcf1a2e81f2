"""``bench tune``: search the settings of a method, or of many by one rule."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.cli.worker_flags import EncoderName, PerGpu, RecipeName, Scheduler, Storage, Track

if TYPE_CHECKING:
    from negbench.benchmark.sweeps.engine.where import Where

Method = Annotated[
    str | None,
    typer.Option(autocompletion=complete.method, help="Method; that of tune in params.yaml if not given."),
]
Dataset = Annotated[
    str | None,
    typer.Option(autocompletion=complete.dataset, help="Dataset; that of tune in params.yaml if not given."),
]
Held = Annotated[
    list[str] | None,
    typer.Option("--set", autocompletion=complete.key, help="key=value of the recipe or method; held in all trials."),
]

Searched = Annotated[
    list[str] | None,
    typer.Option("--search", autocompletion=complete.key, help="Also: key=low:high:log, key=a,b."),
]


def tune(
    method: Method = None,
    everything: Annotated[
        bool, typer.Option("--all", help="A study for every method, or for --methods; default and best are recorded.")
    ] = False,
    methods: Annotated[
        str | None, typer.Option(autocompletion=complete.methods, help="Methods for --all, separated by commas.")
    ] = None,
    dataset: Dataset = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, max=10**6, help="Trials in all, the first with the defaults; as in params.yaml, or 20."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Root seed, the same in all trials.")] = None,
    encoder: EncoderName = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training captions.")] = None,
    memory: Annotated[
        str | None, typer.Option(help="Pairs in the momentum memory; 0: none. With --all several, such as 0,2048.")
    ] = None,
    recipe: RecipeName = None,
    changes: Held = None,
    searched: Searched = None,
    config: Annotated[Path | None, typer.Option(help="YAML or JSON file with the same keys.")] = None,
    trial_seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Seeds that each trial is trained with; their mean counts.")
    ] = 1,
    fresh_seeds: Annotated[
        int, typer.Option(min=0, max=10**6, help="Other seeds that default and best are run with.")
    ] = 3,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Trials asked together; with --all: studies at a time.")
    ] = None,
    per_gpu: PerGpu = None,
    scheduler: Scheduler = None,
    storage: Storage = None,
    track: Track = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print study.json.")] = False,
) -> None:
    """Search the settings of a method by validation rSum. Run again, it goes on where it was stopped."""
    from negbench.benchmark.cli.sweep import sizes
    from negbench.benchmark.cli.tune_all import tune_all
    from negbench.benchmark.cli.tune_one import tune_one
    from negbench.benchmark.recipe.params import params
    from negbench.benchmark.sweeps.engine.where import Where
    from negbench.benchmark.sweeps.studies import Budget

    sizes_asked = sizes(memory)
    _check(everything, bool(methods or len(sizes_asked) > 1), bool(method or config or storage or as_json))
    told = _trackers(track or [], everything)
    budget = Budget(trials or params().tune.trials, trial_seeds, fresh_seeds)
    flags = {"dataset": dataset, "seed": seed, "encoder": encoder, "epochs": epochs, "preset": recipe}
    words = changes or [], searched or []
    if everything:
        tune_all(methods, sizes_asked, flags, words, budget, Where(jobs, per_gpu, scheduler), told)
        return
    flags |= {"method": method, "memory": sizes_asked[0]}
    tune_one(flags, words, config, budget, _together(jobs, per_gpu, scheduler), storage, as_json)


def _check(everything: bool, several: bool, single: bool) -> None:
    """``BenchError`` where words of ``several`` stand without ``--all``, or those of a ``single`` one with it."""
    from negbench.benchmark.errors import BenchError

    if several and not everything:
        raise BenchError("--methods and several memories go with --all; a single study takes one --method and --memory")
    if single and everything:
        raise BenchError("--all: --method, --config, --storage and --json are of a single study; use --methods")


def _trackers(track: list[str], everything: bool) -> tuple[str, ...]:
    """Their names; ``BenchError`` where one cannot be used, or nothing is recorded that it could be told of."""
    from negbench.benchmark.errors import BenchError
    from negbench.benchmark.trackers import registry

    if track and not everything:
        raise BenchError("--track: trackers are told of records, and a single study makes none; use --all")
    return tuple(registry.chosen(track))


def _together(jobs: int | None, per_gpu: int | None, scheduler: str | None) -> "tuple[int, Where] | None":
    """How many trials are asked together, and where they are trained; None: one after the other, here."""
    from negbench.benchmark.errors import BenchError
    from negbench.benchmark.sweeps.engine.where import Where

    if jobs is None:
        if per_gpu is not None or scheduler is not None:
            raise BenchError("--jobs is missing: the number of trials that are asked together")
        return None
    return jobs, Where(None if scheduler else jobs, per_gpu, scheduler)
