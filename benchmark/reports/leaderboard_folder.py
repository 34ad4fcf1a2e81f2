"""A folder with the leaderboard in every format, its figures for DVC, and its pictures."""

from pathlib import Path
from typing import Any

from negbench.benchmark.reports import plots
from negbench.benchmark.reports.table_names import table_names
from negbench.benchmark.reports.tables.html import html
from negbench.benchmark.reports.tables.latex import latex
from negbench.benchmark.reports.tables.markdown import markdown
from negbench.benchmark.reports.tables.programs import as_csv, as_json
from negbench.benchmark.results.records import RUNS
from negbench.benchmark.results.rows import EXTERNAL, Group, Key
from negbench.benchmark.results.values import PUSHED, TRUE
from negbench.pipelines.atomic import Kind, new_folder, write_text
from negbench.pipelines.text import json_text

KIND = Kind(
    "leaderboard",
    "leaderboard.json",
    (
        *(f"leaderboard.{end}" for end in ("md", "tex", "csv", "html")),
        "metrics.json",
        *(f"{name}-*.{end}" for name in plots.OF_THE_LEADERBOARD for end in ("png", "svg", "md")),
        *("plots", "plots/*.png"),
    ),
)
FIGURES = ("rsum", TRUE, PUSHED)
"""Few, as each is a column of ``dvc exp show`` for every row; the others stand in ``leaderboard.json``."""


def write(folder: Path, groups: list[Group], root: Path = RUNS) -> None:
    """Write ``leaderboard.{md,tex,csv,html,json}``, ``metrics.json`` and the pictures of the tables' datasets.

    Args:
        folder: where to; replaced in one step, if it is a leaderboard.
        groups: the tables.
        root: folder of their records, for the pictures.
    """
    with new_folder(folder, KIND) as scratch:
        for name, text in (
            ("leaderboard.md", markdown(groups)),
            ("leaderboard.tex", latex(groups)),
            ("leaderboard.csv", as_csv(groups)),
            ("leaderboard.html", html(groups)),
            ("leaderboard.json", as_json(groups)),
            ("metrics.json", json_text(metrics(groups)) + "\n"),
        ):
            write_text(scratch / name, text)
        pictures = scratch / "plots"  # of each one file, as DVC shows all that lies there
        plots.draw_board(root, tuple(dict.fromkeys(group.dataset for group in groups)), pictures)
        for other in [path for path in pictures.iterdir() if path.suffix != ".png"]:
            other.rename(scratch / other.name)


def metrics(groups: list[Group]) -> dict[str, Any]:
    """Table, row, figure: the means, nested as ``dvc metrics show`` and ``diff`` like it."""
    return {
        name: {
            label(row.key): {key: round(row.stats[key].mean, 3) for key in FIGURES if key in row.stats}
            for row in group.rows
        }
        for group, name in zip(groups, table_names(groups), strict=True)
    }


def label(row: Key) -> str:
    where = EXTERNAL if row.external else f"memory {row.memory}" if row.memory else "in batch"
    return f"{row.method}, {where}"
