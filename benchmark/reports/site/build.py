"""A site in files: pages from templates, pictures, one script, one style; whole or not there."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from negbench.benchmark.reports.pages import render
from negbench.benchmark.reports.site.board_page import board_page
from negbench.benchmark.reports.site.commands import command_of
from negbench.benchmark.reports.site.compare_page import compare_page
from negbench.benchmark.reports.site.contents import Contents, SiteTable, method_of, stems
from negbench.benchmark.reports.site.figures import FIGURES, draw
from negbench.benchmark.reports.site.gallery import gallery_page
from negbench.benchmark.reports.site.material import Material
from negbench.benchmark.reports.site.method_page import WAYS, method_page, way_of
from negbench.benchmark.reports.site.run_page import run_page
from negbench.benchmark.reports.tables.sheet import setting, title
from negbench.pipelines.atomic import Kind, new_folder
from negbench.pipelines.text import json_text

KIND = Kind(
    "site",
    "site.json",
    (
        *("index.html", "figures.html", "reproduce.html", "site.css", "site.js"),
        *(name for name in ("tables", "compare", "methods", "runs", "gallery", "figures", "pictures")),
        *("tables/*.html", "compare/*.html", "methods/*.html", "runs/*.html", "gallery/*.html"),
        *("figures/*.svg", "pictures/*.jpg"),
    ),
)
OWN = ("site.css", "site.js")
"""Files that stand beside the templates."""
TEMPLATES = Path(__file__).parent
Say = Callable[[str], None]


@dataclass
class Site:
    """The files of a site, while it is made."""

    contents: Contents
    say: Say
    pages: dict[str, str] = field(default_factory=dict)
    """By path."""
    pictures: dict[str, bytes] = field(default_factory=dict)
    material: dict[tuple[str, str], Material] = field(default_factory=dict)
    """By dataset and manifest hash."""
    galleries: dict[str, str] = field(default_factory=dict)
    """Dataset: stem of its gallery."""
    figures: dict[str, dict[str, str]] = field(default_factory=dict)
    """Of each table, by its stem: figure to its file."""

    def add(self, path: str, template: str, **content: Any) -> None:
        """A page from a template; links in it lead up by as many folders as it lies deep."""
        up = "../" * path.count("/")
        self.pages[path] = render(f"site/{template}.jinja", up=up, galleries=self.galleries, **content)

    def material_of(self, each: SiteTable) -> Material:
        key = (each.group.dataset, each.group.manifest_hash)
        if key not in self.material:
            self.material[key] = Material(*key, self.pictures)
        return self.material[key]


def write(folder: Path, contents: Contents, say: Say) -> int:
    """Write a site; how many pages it has.

    Args:
        folder: where to; replaced in one step, if it is a site.
        contents: what it tells of.
        say: what is being done, and what is left out and why, a line at a time.
    """
    site = Site(contents, say)
    with new_folder(folder, KIND) as scratch:
        say("figures")
        site.figures = {each.stem: draw(each, scratch / "figures") for each in contents.tables}
        say("pages")
        _galleries(site)
        _tables(site)
        _methods(site)
        _runs(site)
        _around(site)
        for path, text in site.pages.items():
            _put(scratch / path, text.encode())
        for name, data in site.pictures.items():
            _put(scratch / "pictures" / name, data)
        for name in OWN:
            _put(scratch / name, (TEMPLATES / name).read_bytes())
        _put(scratch / KIND.mark, (json_text(_facts(contents)) + "\n").encode())
    return len(site.pages)


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _galleries(site: Site) -> None:
    """Of each dataset, from the largest table whose manifest is on this disk."""
    best: dict[str, SiteTable] = {}
    for each in site.contents.tables:
        group = each.group
        if group.first and not group.external and each.table.whole:
            other = best.get(group.dataset)
            if other is None or len(group.rows) > len(other.group.rows):
                best[group.dataset] = each
    found = {name: gallery_page(each, site.material_of(each)) for name, each in best.items()}
    shown = {name: page for name, page in found.items() if page}
    site.galleries = stems(shown)
    for name, page in shown.items():
        if page["unable"]:
            site.say(f"gallery of {name}: not asked, as model or features are not there: {', '.join(page['unable'])}")
        site.add(f"gallery/{site.galleries[name]}.html", "gallery", **page)


def _tables(site: Site) -> None:
    ways = {name: way_of(name) for name in site.contents.methods}
    for each in site.contents.tables:
        site.add(
            f"tables/{each.stem}.html",
            "board",
            drawn=site.figures[each.stem],
            **board_page(site.contents, each, ways),
        )
        if each.pairs:
            site.add(f"compare/{each.stem}.html", "compare", **compare_page(each, site.material_of(each)))


def _methods(site: Site) -> None:
    for name, stem in site.contents.methods.items():
        site.add(f"methods/{stem}.html", "method", **method_page(site.contents, name))


def _runs(site: Site) -> None:
    named: dict[Path, str] = {}
    for each in site.contents.tables:
        for one in each.table.series:
            named |= {cell.folder: site.contents.methods[method_of(one)] for cell in one.cells}
    for cell in site.contents.cells():
        stem = site.contents.runs[cell.folder]
        site.add(f"runs/{stem}.html", "run", **run_page(site.contents, cell, named[cell.folder]))


def _around(site: Site) -> None:
    """The pages that stand above all tables."""
    contents = site.contents
    titled = [(each, title(each.group), setting(each.group)) for each in contents.tables]
    left_out = [(contents.told(one.what), contents.told(one.reason)) for one in contents.left_out]
    ways: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, stem in contents.methods.items():
        ways[way_of(name)].append((name, stem))
    site.add(
        "index.html",
        "index",
        title="Negative sampling: what is recorded",
        tables=titled,
        methods=[(name, ways[name]) for name in WAYS if name in ways],
        runs=len(contents.runs),
        left_out=left_out,
    )
    drawn = [(*table, site.figures[table[0].stem]) for table in titled if site.figures[table[0].stem]]
    site.add("figures.html", "figures", title="Figures", tables=drawn, about=FIGURES)
    site.add("reproduce.html", "reproduce", title="How to reproduce", tables=list(_reproduced(contents)))


def _reproduced(contents: Contents) -> Iterator[dict[str, Any]]:
    for each in contents.tables:
        if each.group.first:
            cells = [cell for one in each.table.series for cell in one.cells]
            yield {
                "each": each,
                "title": title(each.group),
                "setting": setting(each.group),
                "facts": [(key, value) for key, value in each.group.facts.items() if key.endswith("_hash") and value],
                "commits": sorted({(cell.record.commit or "")[:12] for cell in cells} - {""}),
                "commands": [command_of(cell.record.config) for cell in cells if cell.record.config is not None],
                "external": [contents.place(cell) for cell in cells if cell.record.config is None],
            }


def _facts(contents: Contents) -> dict[str, Any]:
    """What a program may want of a site: its tables and the digests of its records."""
    return {
        "schema_version": 1,
        "tables": {
            each.stem: each.group.facts | {"rows": [str(row.key) for row in each.group.rows]}
            for each in contents.tables
        },
        "records": {contents.place(cell): cell.record.config_hash for cell in contents.cells()},
    }
