"""``make results``: run what stands behind these pages, and write their tables.

Every command goes on where it was stopped, so this may be killed and started again. All of it takes a day on two cores
(docs/results/README.md has the hours of each part); ``--tables`` writes the tables of what is recorded by now.
"""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from negbench.benchmark.reports.tables.markdown import markdown
from negbench.benchmark.reports.tables.programs import as_csv
from negbench.benchmark.results.leaderboard import load
from negbench.benchmark.results.rows import Group

HERE = Path(__file__).parent
ENCODERS = ("efficientnet-lite0+minilm", "efficientnet-lite2+mpnet")
FEW = "--methods hardest,semi-hard,fne,info-nce"
SCENES = "--datasets scenes --set epochs=12 --set schedule=cosine --set learning_rate=0.001 --jobs 2"
F8K = "--datasets f8k --set epochs=6 --set schedule=cosine --set learning_rate=0.001 --jobs 2"
COMMANDS = (
    f"bench sweep --methods all --seeds 1-3 --memory 0,2048 {SCENES}",
    *(f"bench sweep --methods all --seeds 1-3 --memory 0 --set encoder={each} {F8K}" for each in ENCODERS),
    *(
        f"bench sweep {FEW} --seeds 1-3 --memory 0,2048 --set positives={one} {SCENES}"
        for one in ("oracle-above", "oracle")
    ),
    *(
        f"bench tune --all --memory {memory} --trials 8 --fresh-seeds 3 {SCENES.replace('--datasets', '--dataset')}"
        for memory in (0, 2048)
    ),
)
WITHOUT = ("step_ms", "step_ratio")
"""Cells ran two at a time: their step times say nothing of a method."""


@dataclass(frozen=True)
class Table:
    """A block of a page, between ``<!-- name -->`` and ``<!-- /name -->``, and its CSV in ``data``."""

    name: str
    page: str
    dataset: str
    where: str


TABLES = (
    Table("scenes", "scenes.md", "scenes", "epochs=12 positives=labelled"),
    Table("f8k", "f8k.md", "f8k", f"epochs=6 encoder={ENCODERS[0]}"),
    Table("f8k-mpnet", "f8k.md", "f8k", f"epochs=6 encoder={ENCODERS[1]}"),
    Table("oracle", "memory.md", "scenes", "epochs=12 method=hardest,semi-hard,fne,info-nce tuned=false"),
)


def main() -> None:
    """Run everything, then write every table."""
    if "--tables" not in sys.argv[1:]:
        for command in COMMANDS:
            print(command, flush=True)
            subprocess.run(shlex.split(command), check=True)
    for table in TABLES:
        write(table)


def write(table: Table) -> None:
    """The table as CSV, and as Markdown into its page."""
    groups = [_shown(group) for group in load(dataset=table.dataset, where=table.where).groups]
    (HERE / "data" / f"{table.name}.csv").write_text(as_csv(groups), encoding="utf-8")
    page = HERE / table.page
    text = page.read_text(encoding="utf-8")
    ends = f"<!-- {table.name} -->", f"<!-- /{table.name} -->"
    block = re.compile(f"{re.escape(ends[0])}\n.*?{re.escape(ends[1])}", flags=re.DOTALL)
    if not block.search(text):
        raise SystemExit(f"{page}: no {ends[0]} ... {ends[1]}; write both where the table belongs")
    page.write_text(block.sub(lambda _: f"{ends[0]}\n{markdown(groups)}{ends[1]}", text), encoding="utf-8")


def _shown(group: Group) -> Group:
    rows = [
        replace(row, stats={key: stat for key, stat in row.stats.items() if key not in WITHOUT}, busy=0)
        for row in group.rows
    ]
    return replace(group, rows=rows)


if __name__ == "__main__":
    main()
