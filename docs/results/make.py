"""``make results``: run what stands behind these pages, and write their tables.

Every command goes on where it was stopped, so this may be killed and started again; README.md tells the hours. Without
the dataset ``f8k`` (``bench data add f8k --from FOLDER``) its part is left out, and said. ``--tables`` only writes the
tables of what is recorded by now.
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
FEW = "hardest,semi-hard,fne,info-nce"
TUNED = f"{FEW},tal,bcl,decoupled,siglip"
RECIPE = "--memory 0 --set schedule=cosine --set learning_rate=0.001 --jobs 2"
SCENES, F8K = f"scenes --set epochs=12 {RECIPE}", f"f8k --set epochs=6 {RECIPE}"
ENCODERS = ("efficientnet-lite0+minilm", "efficientnet-lite2+mpnet")
COMMANDS = {
    "scenes": (f"bench sweep --methods all --seeds 1-3 --datasets {SCENES}",),
    "f8k": (
        *(f"bench sweep --methods {FEW} --seeds 1-3 --set encoder={encoder} --datasets {F8K}" for encoder in ENCODERS),
        f"bench tune --all --methods {TUNED} --trials 8 --fresh-seeds 3 --dataset {F8K}",
    ),
}
"""Of each dataset, in their order."""
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
    Table("scenes", "scenes.md", "scenes", "epochs=12 memory=0 tuned=false"),
    Table("f8k-encoders", "f8k.md", "f8k", f"epochs=6 tuned=false method={FEW}"),
    Table("tuned-f8k", "tuned.md", "f8k", f"epochs=6 encoder={ENCODERS[0]} method={TUNED}"),
)


def main() -> None:
    """Run everything, then write every table."""
    for dataset, commands in COMMANDS.items():
        if not Path("data", f"{dataset}.yaml").exists():
            print(f"left out: {dataset}, which is not in data/ (bench data where {dataset})")
            continue
        for command in commands if "--tables" not in sys.argv[1:] else ():
            print(command, flush=True)
            subprocess.run(shlex.split(command), check=True)
        for table in TABLES:
            if table.dataset == dataset:
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
    page.write_text(block.sub(lambda _: f"{ends[0]}\n{_narrow(markdown(groups))}{ends[1]}", text), encoding="utf-8")


def _narrow(text: str) -> str:
    """Tables without the spaces and dashes that fill their columns."""
    lines = [
        re.sub(" {2,}", " ", re.sub("-{4,}", "---", line)) if line.startswith("|") else line
        for line in text.split("\n")
    ]
    return "\n".join(lines)


def _shown(group: Group) -> Group:
    rows = [
        replace(row, stats={key: stat for key, stat in row.stats.items() if key not in WITHOUT}, busy=0)
        for row in group.rows
    ]
    return replace(group, rows=rows)


if __name__ == "__main__":
    main()
