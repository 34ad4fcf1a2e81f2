"""A study in files: best settings, summary, trials, pictures; its journal lies beside them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from negbench.benchmark.recipe.schema import NESTED, RunConfig
from negbench.benchmark.reports.plots import tuning
from negbench.benchmark.reports.tables.programs import csv_text
from negbench.benchmark.sweeps.studies import Outcome, Trial
from negbench.pipelines.atomic import write_text
from negbench.pipelines.text import json_text


def write(outcome: Outcome, folder: Path) -> None:
    """Write all files but the journal."""
    config = RunConfig.model_validate(outcome.facts["config"])
    found = config.with_found(outcome.best.row.settings)
    keys = {NESTED.get(name.partition(".")[0] if "." in name else name, name) for name in outcome.best.row.settings}
    own = {name: getattr(found, name) for name in RunConfig.model_fields if name in keys}
    best = {"method": config.method, "settings": found.settings, **own, "tuned": True}
    write_text(folder / "best.json", json.dumps(best, indent=2) + "\n")
    write_text(folder / "study.json", json_text(outcome.summary()) + "\n")
    write_text(folder / "trials.csv", trials_csv(outcome.rows))
    tuning.tuning_history(outcome.rows, folder / "history.png")
    if outcome.importance:
        tuning.importance(outcome.importance, folder / "importance.png")
    else:
        (folder / "importance.png").unlink(missing_ok=True)  # of an earlier study


def trials_csv(rows: Sequence[Trial]) -> str:
    """A row per trial, a column per setting."""
    flat = [{name: value for name, value in asdict(row).items() if name != "settings"} | row.settings for row in rows]
    return csv_text(list(dict.fromkeys(name for row in flat for name in row)), flat)
