"""The leaderboard as a page: one HTML file that needs no other."""

from typing import Any

from negbench.benchmark.reports.pages import render
from negbench.benchmark.reports.tables.sheet import by_dataset, legend, literature, notes, setting, title, whole
from negbench.benchmark.results.rows import Group


def html(groups: list[Group]) -> str:
    """All tables with their headings and notes."""
    datasets = [(line, [_content(group) for group in some]) for line, some in by_dataset(groups)]
    return render("tables/leaderboard.jinja", title="Leaderboard", datasets=datasets, legend=legend(groups))


def _content(group: Group) -> dict[str, Any]:
    return {
        "title": title(group),
        "setting": setting(group),
        "sheet": whole(group),
        "published": literature(group.published) if group.published else None,
        "notes": list(notes(group)),
    }
