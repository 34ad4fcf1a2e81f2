"""True recall against the share of the push on false negatives, over several datasets: a panel per method.

On scenes whose captions grow more ambiguous: what the share does to recall, with all else the same.
"""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from negbench.benchmark.errors import NoDataError
from negbench.benchmark.reports.numbers import MISSING
from negbench.benchmark.reports.plots.canvas import Drawn, grid, heading
from negbench.benchmark.reports.plots.lettering import folded, points
from negbench.benchmark.reports.plots.looks import Form, forms
from negbench.benchmark.reports.plots.scatter import SHARE, Spot, mark, place
from negbench.benchmark.reports.plots.selection import Table, Wanted, most, shown, tables
from negbench.benchmark.reports.tables.markdown import code, escape, in_cell, paragraph
from negbench.benchmark.reports.tables.sheet import memory, setting, title
from negbench.benchmark.results.rows import Group, Key, Row, Stat, describe
from negbench.benchmark.results.values import PUSHED, TRUE

OF_A_DATASET = {"dataset", "encoder", "preset"}
COLUMNS, NARROW = 6, 1.3
"""Panels beside each other, and how many inches each has at least."""
SMALLEST, LARGER = 3.0, 2.2
"""Size of the first dataset's marker in points, and what each further one's has more."""


@dataclass(frozen=True)
class Family:
    """Tables of several datasets, alike in all else; in the order asked for."""

    name: str
    members: tuple[Table, ...]

    @property
    def datasets(self) -> list[str]:
        return [table.group.dataset for table in self.members]

    @property
    def headings(self) -> list[str]:
        """What the figures are of, and how the cells were trained."""
        groups = [table.group for table in self.members]
        titles = [describe(one.protocol) if one.protocol.name == one.dataset else title(one) for one in groups]
        return [" → ".join(titles), " | ".join(dict.fromkeys(map(setting, groups)))]

    @property
    def rows(self) -> dict[Key, list[Row | None]]:
        """A row of each dataset, None where it was not run; by true recall on the last one that has it."""
        found = [{one.row.key: one.row for one in table.series} for table in self.members]
        rows = {key: [some.get(key) for some in found] for some in found for key in some}
        return dict(sorted(rows.items(), key=lambda item: (recall_from_behind(item[1]), item[0])))


def subjects(question: Wanted) -> list[Family]:
    """The tables of all datasets asked for, by recipe; ``NoDataError`` where no recipe was run on all of them."""
    names = list(dict.fromkeys(question.datasets))
    found: dict[str, dict[str, list[Table]]] = defaultdict(lambda: defaultdict(list))
    for table in tables(question):
        recipe = {key: value for key, value in table.group.recipe.items() if key not in OF_A_DATASET}
        found[json.dumps(recipe, sort_keys=True)][table.group.dataset].append(table)
    whole = [some for some in found.values() if set(some) == set(names)]
    several = [name for some in whole for name in names if len(some[name]) > 1]
    if several:
        raise NoDataError(f"{several[0]} was run with one recipe on several features: keep the records of one of them")
    if not whole:
        having = sorted({name for some in found.values() for name in some})
        raise NoDataError(f"no recipe was run on all of {', '.join(names)} (records of: {', '.join(having)})")
    return [
        Family(
            "-".join([*names, *([some[names[0]][0].group.recipe_hash] if len(whole) > 1 else [])]),
            tuple(some[name][0] for name in names),
        )
        for some in whole
    ]


def recall_from_behind(rows: Sequence[Row | None]) -> list[float]:
    """To sort by: the highest recall on the last dataset first, those without it last."""
    return [-row.stats[TRUE].mean if row and TRUE in row.stats else math.inf for row in reversed(rows)]


Trail = list[Spot | None]
"""A place per dataset; None where the row has none."""


def line(rows: Sequence[Row | None]) -> Trail:
    return [place(row, PUSHED, TRUE) if row else None for row in rows]


def missing(family: Family) -> list[str]:
    """The rows that have no place on a dataset, a line for each dataset and reason."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, rows in family.rows.items():
        for dataset, row in zip(family.datasets, rows, strict=True):
            if row is None or place(row, PUSHED, TRUE) is None:
                why = "not run" if row is None else "a seed failed" if row.failed else "no audit or no known truth"
                found[dataset, why].append(label(key))
    order = sorted(found.items(), key=lambda item: family.datasets.index(item[0][0]))
    return [f"on {dataset}: {', '.join(names)} ({why})" for (dataset, why), names in order]


def label(key: Key) -> str:
    return shown(key.method) + (f" +{key.memory:,}" if key.memory else " (external)" * key.external)


def draw(family: Family, question: Wanted) -> Drawn:
    """A panel per method, all others behind it in grey; markers grow from dataset to dataset."""
    rows = {key: some for key, some in family.rows.items() if any(line(some))}
    if not rows:
        raise NoDataError(f"{family.name}: no method has an audit and true recall: the truth must be known")
    methods = list(dict.fromkeys(key.method for key in rows))
    page = question.page
    columns = COLUMNS if page.width is None else max(int((page.width - 0.5) / NARROW), 1)
    wide = min(columns, len(methods))
    high = -(-len(methods) // wide)
    width = page.width or max(1.5 * wide + 0.6, 5.2)
    figure = Figure(figsize=(width, 1.35 * high + 0.9), layout="constrained")
    panels = figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
    usual, seeds = most([n_of(some) for some in rows.values()])
    looks = dict(zip(rows, forms([(key.method, key.memory) for key in rows]), strict=True))
    each = (width - 0.6) / wide - 0.1
    for axes, method in zip(panels.flat, methods, strict=False):
        for key, some in rows.items():
            if key.method == method:
                own(axes, line(some), looks[key])
            else:
                behind(axes, line(some))
        told = [note(family, key, some, usual) for key, some in rows.items() if key.method == method]
        remark(axes, [line for part in told for line in part.splitlines()], each)
        colour = next(look.colour for key, look in looks.items() if key.method == method)
        axes.set_title(folded(shown(method), each, points(8)), fontsize=points(8), color=colour, pad=3)
        grid(axes)
    for axes in panels.flat[len(methods) :]:
        axes.set_axis_off()
    for axes in panels.flat[max(len(methods) - wide, 0) : len(methods)]:
        axes.tick_params(labelbottom=True)
    panels[0, 0].margins(0.08)
    figure.supxlabel(folded(SHARE, width - 0.6, points(9)), fontsize=points(9))
    figure.supylabel("rSum, true pairs", fontsize=points(9))
    hollow = " · hollow: with a memory" if any(key.memory for key in rows) else ""
    also = f"{seeds} · crosses: deviation over seeds · grey: the other methods{hollow}"
    hidden = [label(key) for key in family.rows if key not in rows]
    heading(
        figure,
        page,
        *family.headings,
        f"marker, small to large: {', '.join(family.datasets)} · {also}",
        missing=[", ".join(hidden)] if hidden else [],
    )
    return Drawn(figure, missing(family), markdown(family))


def remark(axes: Axes, lines: Sequence[str], inches: float) -> None:
    """What must be said of a panel's rows, in its corner."""
    text = "\n".join(folded(line, 0.94 * inches, points(6.5)) for line in lines)
    place: dict[str, Any] = {
        "ha": "right",
        "va": "top",
        "size": points(6.5),
        "c": "#606060",
        "transform": axes.transAxes,
    }
    axes.text(0.97, 0.96, text, **place).set_in_layout(False)  # a long one would push the panels apart


def own(axes: Axes, places: Trail, look: Form) -> None:
    spots = [spot for spot in places if spot]
    axes.plot([s.x.mean for s in spots], [s.y.mean for s in spots], c=look.colour, ls=look.line, lw=1.3)
    for number, spot in enumerate(places):
        if spot:
            mark(axes, spot, look, SMALLEST + LARGER * number)


def behind(axes: Axes, places: Trail) -> None:
    spots = [spot for spot in places if spot]
    axes.plot([s.x.mean for s in spots], [s.y.mean for s in spots], c="#D4D4D4", lw=0.6, zorder=1)


def note(family: Family, key: Key, rows: Sequence[Row | None], usual: str) -> str:
    """What a reader must know of a row: where it is missing, other numbers of seeds."""
    absent = [shown(name) for name, spot in zip(family.datasets, line(rows), strict=True) if not spot]
    collapsed = [shown(name) for name, row in zip(family.datasets, rows, strict=True) if row and row.collapsed]
    counts = n_of(rows)
    parts = [
        *([f"no {', '.join(absent)}"] if absent else []),
        *(["collapsed" if len(collapsed) == len(rows) else f"collapsed: {', '.join(collapsed)}"] if collapsed else []),
        *([f"n = {counts}"] if counts != usual else []),
    ]
    return "\n".join(f"+{key.memory:,}: {part}" if key.memory else part for part in parts)


def n_of(rows: Sequence[Row | None]) -> str:
    """Seeds without the failed ones; for each dataset where they differ."""
    counts = [len(row.seeds) - row.failed if row else 0 for row in rows]
    known = sorted({count for count in counts if count})
    return str(known[0]) if len(known) == 1 else ", ".join(str(count or MISSING) for count in counts)


def markdown(family: Family) -> str:
    """The figures: a row per method and memory, and for each dataset the pushed share and true rSum."""
    from tabulate import tabulate

    group: Group = family.members[0].group
    body = []
    for key, rows in family.rows.items():
        figures = [_figure(row, value) for row in rows for value in (PUSHED, TRUE)]
        body.append([code(key.method), memory(group, key), n_of(rows), *figures])
    columns = [f"{in_cell(name)} {what}" for name in family.datasets for what in ("pushed false %", "true rSum")]
    sides = ["left", "left", *["right"] * (len(columns) + 1)]
    table = tabulate(body, ["method", "memory", "n", *columns], "pipe", disable_numparse=True, colalign=sides)
    notes = [
        "Mean ± sample standard deviation over n seeds.",
        *(
            ["† Collapsed in a seed or more."]
            if any(row and row.collapsed for row in chain(*family.rows.values()))
            else []
        ),
        *(escape(f"Not shown {line}.") for line in missing(family)),
    ]
    return "\n\n".join(["  \n".join(map(paragraph, family.headings)), table, *notes]) + "\n"


def _figure(row: Row | None, value: str) -> str:
    if row is None or value not in row.stats:
        return MISSING
    stat: Stat = row.stats[value]
    return f"{stat.mean:.1f}" + (f" ±{stat.std:.1f}" if stat.std is not None else "") + "†" * bool(row.collapsed)
