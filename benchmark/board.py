"""A folder with the leaderboard in every format, its figures for DVC, and its pictures."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from benchmark import plots, tables
from benchmark.leaderboard import RECALLS, Group, load
from benchmark.records import RUNS
from pipelines.atomic import new_folder, write_text

FIGURES = (*RECALLS, "rsum", "false_negative_percent", "step_ratio")


def write(folder: Path, root: Path = RUNS) -> None:
    """Write ``leaderboard.{md,tex,csv,json}``, ``metrics.json`` and the pictures of all records."""
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
        plots.draw_board(root, scratch)


def table_names(groups: list[Group]) -> list[str]:
    """The dataset of each table; where it has several tables, with the digest of the recipe."""
    tables_of = Counter(group.dataset for group in groups)
    return [
        group.dataset if tables_of[group.dataset] == 1 else f"{group.dataset}-{group.recipe_hash}" for group in groups
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
