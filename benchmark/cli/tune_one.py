"""``bench tune``: one study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from negbench.benchmark.cli.tracked import tell_dvc_of_study
from negbench.benchmark.reports.screen import log, out
from negbench.pipelines.text import json_text

if TYPE_CHECKING:
    from negbench.benchmark.recipe.schema import RunConfig
    from negbench.benchmark.sweeps.engine.where import Where
    from negbench.benchmark.sweeps.search_space import Space
    from negbench.benchmark.sweeps.studies import Budget, Outcome

FRESH = 3
"""Fresh seeds that the study of ``params.yaml`` has at least."""


def tune_one(
    flags: Mapping[str, Any],
    words: tuple[Sequence[str], Sequence[str]],
    config: Path | None,
    budget: "Budget",
    together: "tuple[int, Where] | None",
    storage: str | None,
    as_json: bool,
) -> None:
    """Search, and show what came out. Without a method or dataset it is the study of ``params.yaml``.

    ``words``: of ``--set`` and of ``--search``.
    """
    from negbench.benchmark.recipe.flags import parse_changes, resolve
    from negbench.benchmark.recipe.params import load_yaml, params
    from negbench.benchmark.reports.terminal.study import show
    from negbench.benchmark.sweeps.search_space import space_of
    from negbench.benchmark.sweeps.studies import folder_of

    changes, searched = words
    content = load_yaml(config) if config else {}
    named = {key: getattr(params().tune, key) for key in ("method", "dataset") if key not in content}
    parsed = parse_changes(changes)
    resolved = resolve({**flags, **{key: flags[key] or value for key, value in named.items()}}, parsed, config)
    held = {*parsed, *(content.get("settings") or {})}
    outcome = _tuned(resolved, space_of(resolved, held, searched), budget, together, storage)
    if as_json:
        typer.echo(json_text(outcome.summary()))
    else:
        show(outcome, folder_of(resolved), out())
    if not any(words) and config is None and budget.fresh_seeds >= FRESH:
        tell_dvc_of_study(resolved, budget.trials)


def _tuned(
    config: "RunConfig",
    space: "Space",
    budget: "Budget",
    together: "tuple[int, Where] | None",
    storage: str | None,
) -> "Outcome":
    """Search ``space``, with progress on stderr, and write what came out."""
    from negbench.benchmark.cli.features import ensure_for
    from negbench.benchmark.reports import study_folder
    from negbench.benchmark.reports.terminal import configuration
    from negbench.benchmark.reports.watch.study_screen import ShowTuning
    from negbench.benchmark.sweeps import tuning
    from negbench.benchmark.sweeps.cell import texts_for
    from negbench.benchmark.sweeps.database import Database
    from negbench.benchmark.sweeps.rounds import helpers_of
    from negbench.benchmark.sweeps.studies import folder_of
    from negbench.benchmark.training import devices
    from negbench.benchmark.training.inputs import check_towers
    from negbench.pipelines.sources import manifest_folder
    from negbench.pipelines.truth import Truth

    database = Database(storage, log().print) if storage is not None else None
    devices.check_cell(config)
    configuration.show(config, log())
    manifest, store = ensure_for(config)
    check_towers(store, config)
    truth = Truth.read(manifest_folder(config.dataset))
    texts = texts_for(config.method, manifest, store)
    task = tuning.TuningTask(config, space, manifest.hash, store, truth, texts, budget.trial_seeds)
    folder, screen = folder_of(config), log()
    try:
        with (
            ShowTuning(screen, budget.trials, config, task.defaults) as watcher,
            helpers_of(together, task, screen.print, watcher.running) as helpers,
        ):
            return tuning.tune(task, folder, budget, watcher, study_folder.write, helpers, database)
    except KeyboardInterrupt:
        log().print(f"kept in {'the database' if database else folder}; the same command goes on with it")
        raise
