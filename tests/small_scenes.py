"""A project with a small dataset of scenes, its features and a record."""

import json
import os
from pathlib import Path

from commands import bench
from negbench.pipelines import sources

SMALL = ["--epochs", "2", "--batch", "32", "--memory", "0", "--set", "hidden=8", "--set", "dim=8"]
"""A quick recipe."""


def make_small(folder: Path) -> None:
    """Dataset ``small`` and ``runs/small/fne/seed-0``, in a folder."""
    before = Path.cwd()
    os.chdir(folder)
    settings = {"seed": 0, "train": 60, "val": 20, "test": 20, "ambiguity": 0.5}
    sources.write("small", sources.Source(format="scenes", encoder="hog+ngrams", settings=settings))
    done = bench("run", "--method", "fne", "--dataset", "small", *SMALL, "--out", "runs/small/fne/seed-0")
    os.chdir(before)
    assert done.exit_code == 0, done.stderr
    path = folder / "runs/small/fne/seed-0/run.json"
    record = json.loads(path.read_text())
    record["cost"]["cpu_share"] = 1.0  # what tests see must not depend on what else this machine does
    path.write_text(json.dumps(record))
