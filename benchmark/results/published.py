"""What the literature reports: ``published.csv``, a row per method and protocol, each with its source.

Measured with other features, budgets and code: to look at beside one's own rows, never to test against them.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("published.csv")


@dataclass(frozen=True)
class Published:
    """A row of the literature."""

    method: str
    features: str
    """Picture and text encoder."""
    ensemble: bool
    """Two models, their similarities averaged."""
    recalls: dict[str, float]
    """``i2t_r1`` to ``t2i_r10`` and ``rsum``, in percent."""
    source: str

    def flat(self) -> dict[str, Any]:
        """As a row of the leaderboard's CSV and JSON."""
        method = f"{self.method} ({self.features})" + ("*" if self.ensemble else "")
        return {"method": method, "source": self.source} | {f"{key}_mean": value for key, value in self.recalls.items()}


def published(dataset: str, protocol: str) -> Iterator[Published]:
    """Rows of one protocol, by rSum, the highest first."""
    with FILE.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["dataset"], row["protocol"]) == (dataset, protocol)]
    for row in sorted(rows, key=lambda row: -float(row["rsum"])):
        yield Published(
            method=row["method"],
            features=" + ".join(filter(None, (row["backbone"], row["text_encoder"]))),
            ensemble=row["ensemble"] == "yes",
            recalls={key: float(value) for key, value in row.items() if key == "rsum" or key[:3] in ("i2t", "t2i")},
            source=row["source"],
        )
