"""``bench tune``: search the settings of a method."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negbench.benchmark.cli.run import show_config
from negbench.benchmark.reports.screen import log, out
from negbench.pipelines.text import json_text

if TYPE_CHECKING:
    from negbench.benchmark.sweeps.studies import Outcome, Tried

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
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the recipe or method; held in all trials.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML or JSON file with the same keys.")] = None,
    fresh_seeds: Annotated[
        int, typer.Option(min=0, max=10**6, help="Other seeds that default and best are run with.")
    ] = FRESH,
    as_json: Annotated[bool, typer.Option("--json", help="Print study.json.")] = False,
) -> None:
    """Search the settings of a method by validation rSum. Run again, it goes on where it was stopped."""
    from negbench.benchmark.recipe.flags import parse_changes, resolve
    from negbench.benchmark.recipe.params import load_yaml, params

    named, content = params().tune, load_yaml(config) if config else {}
    trials = trials or named.trials
    flags = {
        "method": method or (None if "method" in content else named.method),
        "dataset": dataset or (None if "dataset" in content else named.dataset),
        "seed": seed,
        "encoder": encoder,
        "epochs": epochs,
        "memory": memory,
    }
    parsed = parse_changes(changes or [])
    resolved = resolve(flags, parsed, config)
    in_file = content.get("settings") or {}

    from negbench.benchmark.cli.features import ensure_with_progress
    from negbench.benchmark.reports import study
    from negbench.benchmark.reports.tuning_progress import ShowTuning
    from negbench.benchmark.sweeps import tuning
    from negbench.benchmark.sweeps.cell import texts_for
    from negbench.benchmark.sweeps.search_space import space_of
    from negbench.benchmark.sweeps.tracking import is_tracked, track_study
    from negbench.benchmark.training import devices
    from negbench.pipelines.sources import manifest_folder
    from negbench.pipelines.truth import Truth

    devices.check_cell(resolved)
    space = space_of(resolved, {*parsed, *in_file})
    show_config(resolved)
    manifest, store = ensure_with_progress(resolved.dataset, resolved.encoder)
    truth = Truth.read(manifest_folder(resolved.dataset))
    texts = texts_for(resolved.method, manifest, store)
    task = tuning.TuningTask(resolved, space, manifest.hash, store, truth, texts)
    folder = tuning.folder_of(resolved)
    try:
        with ShowTuning(log(), trials, resolved.epochs, task.defaults) as watcher:
            outcome = tuning.tune(task, folder, trials, fresh_seeds, watcher, study.write)
    except KeyboardInterrupt:
        log().print(f"kept in {folder}; the same command goes on with it", markup=False)
        raise
    if as_json:
        typer.echo(json_text(outcome.summary()))
    else:
        show(outcome, folder)
    if is_tracked() and not changes and config is None and fresh_seeds >= FRESH:
        for line in track_study(resolved, trials, partial(log().print, markup=False)):
            log().print(line, markup=False)


def show(outcome: "Outcome", folder: Path) -> None:
    """Default and best side by side, and where the files are."""
    from rich.table import Table

    from negbench.benchmark.reports.tuning_progress import brief

    tried = {"default": outcome.default} | ({} if outcome.best_is_default else {"best": outcome.best})
    default = outcome.default.row.settings
    table = Table("", *tried)
    for name in sorted(name for name in default if outcome.best.row.settings[name] != default[name]):
        table.add_row(name, *(brief(one.row.settings[name]) for one in tried.values()))
    seed = outcome.facts["config"]["seed"]
    table.add_row(f"validation rSum, seed {seed}", *(number(one.row.rsum) for one in tried.values()))
    if seeds := [run.seed for run in outcome.best.fresh]:
        label = f"validation rSum, fresh seeds {', '.join(map(str, seeds))}"
        table.add_row(label, *(f"{number(one.mean)} ± {number(one.std)}" for one in tried.values()))
        table.add_row("n", *(count(one) for one in tried.values()))
    if any(one.false_negatives is not None for one in tried.values()):
        table.add_row("false negatives picked", *(number(one.false_negatives, 100, "%") for one in tried.values()))
    for column in table.columns[1:]:
        column.justify = "right"
    out().print(table)
    for line in verdict(outcome, folder):
        out().print(line, markup=False)


def number(value: float | None, factor: float = 1, unit: str = "") -> str:
    return "–" if value is None else f"{factor * value:.1f}{unit}"


def count(tried: "Tried") -> str:
    """Runs in the mean, and those that are not."""
    other = [run.status for run in tried.fresh if run.status != "done"]
    return ", ".join([str(len(tried.done)), *(f"{other.count(status)} {status}" for status in sorted(set(other)))])


def verdict(outcome: "Outcome", folder: Path) -> list[str]:
    """What came out, in a few sentences."""
    states = ", ".join(f"{count} {state}" for state, count in outcome.states.items() if count)
    default, best, dataset = outcome.default, outcome.best, outcome.facts["config"]["dataset"]
    if outcome.best_is_default:
        lines = [f"no trial beats the defaults ({states})"]
    else:
        lines = [f"trial {best.row.number} is the best ({states})" + ("; it COLLAPSED" if best.row.collapsed else "")]
        lines += against(default, best)
    if best.row.warmup:
        lines.append("its best epoch is one of the warm-up: no trial got beyond it")
    if not outcome.importance:
        lines.append("no importance picture: too few trials, or a single setting")
    use = f"bench run --config {folder / 'best.json'} --dataset {dataset}"
    return [*lines, f"written to {folder}; use it with:", use]


def against(default: "Tried", best: "Tried") -> list[str]:
    """Best against default over the seeds that both came through; nothing where there are none."""
    gains = best.gains(default)
    if not gains:
        return []
    mean, higher = sum(gains) / len(gains), sum(gain > 0 for gain in gains)
    side = "above" if mean > 0 else "below"
    return [f"fresh seeds: {abs(mean):.1f} rSum {side} the defaults, higher with {higher} of {len(gains)}"]
