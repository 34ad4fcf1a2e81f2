"""What tuning gained, as a file beside the studies."""

from collections.abc import Sequence
from pathlib import Path

from negbench.benchmark.reports.tables.programs import csv_text
from negbench.benchmark.results.gains import Gain, told
from negbench.benchmark.sweeps.studies import STUDIES
from negbench.pipelines.atomic import write_text


def write(gains: Sequence[Gain], dataset: str) -> Path:
    """A row for each method and memory: ``studies/<dataset>/gains.csv``."""
    rows = [told(gain) for gain in gains]
    path = STUDIES / dataset / "gains.csv"
    write_text(path, csv_text(list(rows[0]), rows))
    return path
