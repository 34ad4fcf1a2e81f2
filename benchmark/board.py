"""A folder with the leaderboard in every format, its figures for DVC, and the learning curves."""

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from benchmark import tables
from benchmark.leaderboard import RECALLS, Group, Row, load
from benchmark.plots import learning_curves
from benchmark.records import RUNS, find
from pipelines.atomic import new_folder, write_text

FIGURES = (*RECALLS, "rsum", "false_negative_percent", "step_ratio")


def write(folder: Path, root: Path = RUNS) -> None:
    """Write ``leaderboard.{md,tex,csv,json}``, ``metrics.json`` and ``curves-<dataset>.png`` of all records."""
    groups = load(root)
    with new_folder(folder) as scratch:
        for name, text in (
            ("leaderboard.md", tables.markdown(groups)),
            ("leaderboard.tex", tables.latex(groups)),
            ("leaderboard.csv", tables.as_csv(groups)),
            ("leaderboard.json", tables.as_json(groups)),
            ("metrics.json", json.dumps(metrics(groups), indent=2) + "\n"),
        ):
            write_text(scratch / name, text)
        for dataset, curves in histories(root).items():
            learning_curves(scratch / f"curves-{dataset}.png", curves)


def metrics(groups: list[Group]) -> dict[str, Any]:
    """Dataset, row, figure: the means, nested as ``dvc metrics show`` and ``diff`` like it.

    A dataset with several tables has the recipe's digest in its name.
    """
    tables_of = Counter(group.dataset for group in groups)
    nested: dict[str, Any] = {}
    for group in groups:
        name = group.dataset if tables_of[group.dataset] == 1 else f"{group.dataset} {group.recipe_hash}"
        nested[name] = {
            label(row): {key: round(row.stats[key].mean, 3) for key in FIGURES if key in row.stats}
            for row in group.rows
        }
    return nested


def label(row: Row) -> str:
    return f"{row.method}, memory {row.memory}" if row.memory else f"{row.method}, in batch"


def histories(root: Path) -> dict[str, dict[str, list[list[float]]]]:
    """Dataset, cell, seed: the validation rSum of each epoch."""
    found: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for folder, record in find(root):
        if record.status != "failed":
            with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
                rsums = [float(row["val_rsum"]) for row in csv.DictReader(file)]
            found[record.config.dataset][folder.parent.name].append(rsums)
    return found
