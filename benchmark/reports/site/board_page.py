"""The page of a table: the leaderboard as a terminal shows it, which a script sorts, filters and marks anew."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from negbench.benchmark.reports.numbers import MISSING, p_value
from negbench.benchmark.reports.site.contents import Contents, SiteTable, method_of
from negbench.benchmark.reports.site.embedded import embedded
from negbench.benchmark.reports.tables.sheet import (
    BETTER,
    COLUMNS,
    WORSE,
    Field,
    Sheet,
    legend,
    marks,
    memory,
    notes,
    setting,
    title,
    whole,
)
from negbench.benchmark.results.rows import Group, Key, Mark, Row

P = "p_mark"
ESSENTIAL = ("method", "memory", "rsum", P)
"""Columns of a narrow screen, until more are asked for."""
UNMARKED = "No marks: choose a baseline."


def board_page(contents: Contents, each: SiteTable, ways: Mapping[str, str]) -> dict[str, Any]:
    """What its template needs."""
    group, sheet = each.group, with_p(whole(each.group), bool(each.marks))
    told = list(marks(group))
    return {
        "title": title(group),
        "setting": setting(group),
        "each": each,
        "columns": list(zip(sheet.keys, sheet.columns, strict=True)),
        "rows": [
            {
                "cells": list(zip(sheet.keys, fields, map(value_of(group, row), sheet.keys), strict=True)),
                "way": ways[method_of(one)],
                "memory": memory(group, row.key),
                "tuned": any(cell.record.config is not None and cell.record.config.tuned for cell in one.cells),
                "page": contents.methods[method_of(one)],
            }
            for one, row, fields in zip(each.table.series, group.rows, sheet.body, strict=True)
        ],
        "ways": sorted({ways[method_of(one)] for one in each.table.series}),
        "memories": list(dict.fromkeys(memory(group, row.key) for row in sorted(group.rows, key=_by_memory))),
        "baselines": [(place, str(row.key)) for place, row in enumerate(group.rows) if row.key in each.marks],
        "baseline": next((place for place, row in enumerate(group.rows) if row.key == group.baseline), None),
        "marks_note": " ".join(told) or UNMARKED,
        "notes": list(notes(group))[len(told) :],
        "legend": legend([group]),
        "data": embedded({"marks": marks_of(each), "notes": notes_of(each), "essential": ESSENTIAL}),
    }


def with_p(sheet: Sheet, marked: bool) -> Sheet:
    """With a column of p, where some baseline gives any."""
    if not marked or P in sheet.keys:
        return sheet
    place = sheet.keys.index("rsum") + 1
    body = [[*fields[:place], Field(MISSING), *fields[place:]] for fields in sheet.body]
    return Sheet((*sheet.keys[:place], P, *sheet.keys[place:]), body)


def value_of(group: Group, row: Row) -> Any:
    """What a column is sorted by: a function of its key; None where there is nothing."""

    def value(key: str) -> float | str | None:
        if key == "method":
            return row.method
        if key == "memory":
            return row.memory + (row.momentum or 0)
        if key == "n":
            return len(row.seeds) - row.failed
        if key == P:
            return row.mark.p_mark if row.mark else None
        return round(row.stats[key].mean, 6) if key in row.stats else None

    return value


def marks_of(each: SiteTable) -> dict[str, dict[str, tuple[float, str, str]]]:
    """Baseline, row: p to sort by, p as it is written, arrow; rows by their place in the table."""
    place = {row.key: str(number) for number, row in enumerate(each.group.rows)}
    return {
        place[baseline]: {place[row]: (mark.p_mark, p_value(mark.p_mark), arrow(mark)) for row, mark in found.items()}
        for baseline, found in each.marks.items()
    }


def arrow(mark: Mark) -> str:
    return (BETTER if mark.difference > 0 else WORSE) if mark.significant else ""


def notes_of(each: SiteTable) -> dict[str, str]:
    """By baseline what its marks mean."""
    place = {row.key: str(number) for number, row in enumerate(each.group.rows)}
    return {place[key]: " ".join(marks(_against(each.group, key, found))) for key, found in each.marks.items()}


def _against(group: Group, baseline: Key, found: Mapping[Key, Mark]) -> Group:
    rows = [replace(row, mark=found.get(row.key)) for row in group.rows]
    return replace(group, baseline=baseline, rows=rows, unmarked="")


def _by_memory(row: Row) -> tuple[bool, int, float]:
    return row.external, row.memory, row.momentum or 0


assert {*ESSENTIAL} <= {*COLUMNS}
