"""A folder with the leaderboard in every format, its figures for DVC, and the learning curves."""

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from benchmark.errors import NoDataError
from benchmark.leaderboard import PICKED, PUSHED, RECALLS, Group
from benchmark.plots import learning_curves
from benchmark.records import RUNS, survey
from benchmark.tables.html import html
from benchmark.tables.latex import latex
from benchmark.tables.markdown import markdown
from benchmark.tables.programs import as_csv, as_json
from pipelines.atomic import new_folder, write_text

FIGURES = (*RECALLS, "rsum", PICKED, PUSHED, "step_ratio")


def write(folder: Path, groups: list[Group], root: Path = RUNS) -> None:
    """Write ``leaderboard.{md,tex,csv,html,json}``, ``metrics.json`` and ``curves-<dataset>.png``.

    Args:
        folder: where to; replaced in one step.
        groups: the tables.
        root: folder of their records, for the curves.
    """
    with new_folder(folder) as scratch:
        for name, text in (
            ("leaderboard.md", markdown(groups)),
            ("leaderboard.tex", latex(groups)),
            ("leaderboard.csv", as_csv(groups)),
            ("leaderboard.html", html(groups)),
            ("leaderboard.json", as_json(groups)),
            ("metrics.json", json.dumps(metrics(groups), indent=2) + "\n"),
        ):
            write_text(scratch / name, text)
        for group, name in zip(groups, table_names(groups), strict=True):
            if group.first:  # other protocols have no curves of their own
                learning_curves(scratch / f"curves-{name}.png", histories(root, group))


def table_names(groups: list[Group]) -> list[str]:
    """The dataset of each table, with the protocol where it is not the first one's, and where a dataset has several
    recipes, manifests or features with the digest of the recipe."""
    tables_of = Counter(group.dataset for group in groups if group.first)
    return [
        "-".join(
            [
                group.dataset,
                *([] if group.first else [group.protocol.name]),
                *([] if tables_of[group.dataset] == 1 else [group.recipe_hash]),
            ]
        )
        for group in groups
    ]


def metrics(groups: list[Group]) -> dict[str, Any]:
    """Table, row, figure: the means, nested as ``dvc metrics show`` and ``diff`` like it."""
    return {
        name: {
            label(row.method, row.memory): {key: round(row.stats[key].mean, 3) for key in FIGURES if key in row.stats}
            for row in group.rows
        }
        for group, name in zip(groups, table_names(groups), strict=True)
    }


def label(method: str, memory: int) -> str:
    return f"{method}, memory {memory}" if memory else f"{method}, in batch"


def histories(root: Path, group: Group) -> dict[str, list[list[float]]]:
    """Row and seed: the validation rSum of each epoch, of the cells of one table."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    of_group = (group.dataset, group.recipe_hash, group.manifest_hash, group.features_hash)
    for folder, record in survey(root)[0]:
        key = (record.config.dataset, record.recipe_hash, record.manifest_hash, record.features_hash)
        if key == of_group and record.status != "failed":
            found[label(record.method_id, record.config.memory)].append(rsums(folder / "history.csv"))
    return found


def rsums(path: Path) -> list[float]:
    """Validation rSum of each epoch; ``NoDataError`` where the file is missing or broken."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            values = [float(row["val_rsum"]) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        values = []
    if not values:
        raise NoDataError(f"{path}: missing or broken; run the cell again with --force")
    return values
