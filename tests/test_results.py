"""Every table of results in the documents says what its file in ``docs/results/data`` says."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT / "docs" / "results" / "data"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "results").glob("*.md"))]
MEANS = {
    f"{way} R@{cutoff}": f"{way}_r{cutoff}" for way in ("i2t", "t2i") for cutoff in (1, 5, 10)
} | {"rSum": "rsum"}  # fmt: skip
PLAIN = {"true rSum": "true_rsum", "ext. rSum": "extended_rsum", "picked false %": "false_negative_percent"}
PUSHED = "pushed false % [95 %] of judged"


@dataclass(frozen=True)
class Block:
    """What stands between ``<!-- name -->`` and ``<!-- /name -->``."""

    page: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.name}"

    def tables(self) -> list[tuple[str, list[dict[str, str]]]]:
        """Title and rows of each table, signs of best and second left out."""
        plain = re.sub(r"\*\*|</?ins>|`", "", self.text)
        found = []
        for title, table in re.findall(r"^(\S+ · .*?)\n\n(\|.*?)\n(?!\|)", plain, flags=re.M | re.S):
            header, _, *rows = [
                [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()
            ]
            found.append((title, [dict(zip(header, row, strict=True)) for row in rows]))
        return found


def blocks() -> list[Block]:
    return [
        Block(path.name, name, text)
        for path in PAGES
        for name, text in re.findall(r"<!-- ([\w-]+) -->\n(.*?)<!-- /\1 -->", path.read_text("utf-8"), flags=re.S)
    ]


def one(value: float, deviation: float | None = None) -> str:
    """A figure as a table has it."""
    if pd.isna(value):
        return "–"
    return f"{value:.1f}" + (f" ±{deviation:.1f}" if deviation is not None and not pd.isna(deviation) else "")


def expected(row: "pd.Series[float]", header: str, base: bool) -> str:
    """What must stand in this column of a row."""
    if header in MEANS:
        text = one(row[f"{MEANS[header]}_mean"], row[f"{MEANS[header]}_std"])
        if header == "rSum" and row["mark_significant"] == 1:
            text += " ↑" if row["mark_difference"] > 0 else " ↓"
        return text
    if header in PLAIN:
        return one(row[f"{PLAIN[header]}_mean"])
    if header == PUSHED:
        low, high = (row[f"pushed_percent_{end}_mean"] for end in ("low", "high"))
        shares = f"{one(row['pushed_percent_mean'])} [{one(low)}, {one(high)}]"
        return "–" if pd.isna(low) else f"{shares} of {row['pushed_judged_mean']:,.0f}"
    assert header == "p (Holm)", f"a column that no file has: {header}"
    p = max(row["mark_p_holm"], row["mark_p_both_holm"])
    return "base" if base else "–" if pd.isna(p) else "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_a_table_says_what_its_file_says(block: Block) -> None:
    file = pd.read_csv(DATA / f"{block.name}.csv")
    keys = ["dataset", "protocol", "features_hash", "recipe_hash"]
    groups = [group for _, group in file.groupby(keys, sort=False)]
    tables = block.tables()
    assert len(tables) == len(groups)
    for (title, rows), group in zip(tables, groups, strict=True):
        first = group.iloc[0]
        assert title.startswith(f"{first['dataset']} · {first['protocol']}")
        assert f"encoder {first['encoder']} · {first['epochs']} epochs · batch {first['batch']}" in title
        assert len(rows) == len(group)
        for row, (_, truth) in zip(rows, group.iterrows(), strict=True):
            memory = "in batch" if truth["memory"] == 0 else f"{truth['memory']:,}"
            assert (row.pop("method").split(" (")[0], row.pop("memory")) == (truth["method"], memory)
            assert row.pop("n") == str(truth["n"] - truth["failed"])
            base = re.sub(r" @[^)]*", "", str(truth["baseline"])) == f"{truth['method']} ({memory})"
            assert row == {header: expected(truth, header, base) for header in row}, (block.name, truth["method"])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_table_of_results_has_a_file(page: Path) -> None:
    """No table with a recall stands outside a block."""
    rest = re.sub(r"<!-- ([\w-]+) -->\n.*?<!-- /\1 -->", "", page.read_text("utf-8"), flags=re.S)
    assert not re.search(r"^\|.*\bR@1\b", rest, flags=re.M)


def test_no_file_is_left_over() -> None:
    assert {path.stem for path in DATA.glob("*.csv")} == {block.name for block in blocks()}
