"""Where records are: known to commands that read none."""

from pathlib import Path

RUNS = Path("runs")
