"""What a closer look at a dataset found."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from negbench.benchmark.reports.numbers import MISSING
from negbench.pipelines.checks import Report
from negbench.pipelines.text import one_line


def show(report: Report, screen: Console) -> None:
    """Its splits, its facts, and what is wrong with it or worth knowing."""
    screen.print(_splits(report))
    facts = Table(show_header=False)
    for what, value in _flat(report.facts):
        facts.add_row(what, value)
    screen.print(facts)
    if report.errors or report.warnings:
        screen.print(_findings(report))
    if not report.errors:
        screen.print("no errors" + (f", {kinds(len(report.warnings), 'warnings')}" if report.warnings else ""))


def kinds(number: int, what: str) -> str:
    """``2 kinds of errors``."""
    return f"{number} kind{'s' * (number > 1)} of {what}"


def _splits(report: Report) -> Table:
    headers = ("split", "images", "expected", "captions", "per image", "true by equal captions")
    table = Table(*headers, title=report.name)
    for split, row in report.splits.items():
        fewest, most = row["captions_per_image"]
        each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        expected = MISSING if row["expected"] is None else f"{row['expected']:,}"
        equal = f"{row['pairs_true_by_equal_captions']:,} pairs"
        table.add_row(split, f"{row['images']:,}", expected, f"{row['captions']:,}", each, equal)
    return table


def _findings(report: Report) -> Table:
    """What was found, how often, examples, and what to do."""
    table = Table("", "found", show_lines=True)
    for level, style, findings in (("error", "red", report.errors), ("warning", "yellow", report.warnings)):
        for one in findings:
            more = ["…"] if one.count > len(one.examples) else []
            found = Text(f"{one.what}: {one.count:,}\n", style="bold")
            found.append("\n".join([*map(one_line, one.examples), *more]), style="not bold")
            found.append(f"\n→ {one.todo}", style="not bold dim")
            table.add_row(Text(level, style=style), found)
    return table


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Facts as rows of text, nested ones under their parent's name."""
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}: ")
        elif isinstance(value, bool):
            yield prefix + key, "yes" if value else "no"
        elif isinstance(value, float):
            yield prefix + key, f"{value:,.3f}"
        else:
            yield prefix + key, f"{value:,}" if isinstance(value, int) else str(value)
