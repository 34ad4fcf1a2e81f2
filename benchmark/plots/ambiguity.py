"""True recall against the share of the push on false negatives, a line per series over several datasets.

On scenes whose captions grow more ambiguous: what the share does to recall, with all else the same.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.errors import NoDataError
from benchmark.leaderboard import TRUE
from benchmark.plots.canvas import LINES, MARKERS, forms, grid, heading
from benchmark.plots.labels import at_the_end, room_for
from benchmark.plots.scatter import Place, metric, place, pushed
from benchmark.plots.selection import Question, Series, Table, tables

OF_A_DATASET = {"dataset", "encoder"}


@dataclass(frozen=True)
class Family:
    """Tables of several datasets, alike in all else; in the order asked for."""

    name: str
    members: tuple[Table, ...]


def subjects(question: Question) -> list[Family]:
    """The tables of all datasets asked for, by recipe; ``NoDataError`` where no recipe was run on all of them."""
    names = list(dict.fromkeys(question.datasets))
    found: dict[Any, dict[str, list[Table]]] = defaultdict(lambda: defaultdict(list))
    for table in tables(question):
        recipe = {key: value for key, value in table.group.recipe.items() if key not in OF_A_DATASET}
        found[tuple(sorted(recipe.items()))][table.group.dataset].append(table)
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


def lines(family: Family) -> dict[Series, list[tuple[int, Place]]]:
    """Places of a series with the number of their dataset, where at least two are known.

    The series are those of the last dataset a line reaches.
    """
    places: dict[Any, list[tuple[int, Place]]] = defaultdict(list)
    last: dict[Any, Series] = {}
    for number, table in enumerate(family.members):
        for one in table.whole:
            if spot := place(one, pushed, metric(TRUE)):
                places[one.key].append((number, spot))
                last[one.key] = one
    return {last[key]: spots for key, spots in places.items() if len(spots) > 1}


def draw(family: Family, question: Question) -> Figure:
    """A marker per dataset, a colour and a line style per series, its name at the end."""
    found = lines(family)
    if not found:
        raise NoDataError(
            f"{family.name}: no method has an audit and true recall on two of the datasets: the truth must be known"
        )
    looks = forms(list(found))
    figure = Figure(figsize=(8, max(4.8, 0.9 + 0.19 * len(found))), layout="constrained")
    axes = figure.subplots()
    for number, (form, spots) in enumerate(zip(looks, found.values(), strict=True)):
        style = LINES[number % len(LINES)]
        axes.plot([spot.x for _, spot in spots], [spot.y for _, spot in spots], c=form.colour, ls=style, lw=1.3)
        for which, spot in spots:
            axes.errorbar(
                spot.x, spot.y, spot.y_std, spot.x_std, fmt="none", ecolor=form.colour, elinewidth=0.8, alpha=0.5
            )
            axes.plot(spot.x, spot.y, marker=MARKERS[which % len(MARKERS)], c=form.colour, mfc=form.face, ms=6, mew=1.3)
    axes.set(xlabel="push that falls on false negatives, % (test pairs)", ylabel="rSum, true pairs")
    grid(axes)
    keys = [
        Line2D([], [], ls="", marker=MARKERS[which % len(MARKERS)], c="#404040", label=table.group.dataset)
        for which, table in enumerate(family.members)
    ]
    axes.legend(handles=keys, loc="best", fontsize=8)
    recipe = family.members[0].group.recipe
    left_out = "; ".join(f"{table.group.dataset} {table.left_out}" for table in family.members if table.left_out)
    heading(
        figure,
        " → ".join(table.group.dataset for table in family.members),
        f"{recipe['epochs']} epochs · batch {recipe['batch']} · crosses: deviation over seeds",
        left_out,
    )
    names = [one.label for one in found]
    room_for(figure, names)
    ends = [(spots[-1][1].x, spots[-1][1].y) for spots in found.values()]
    at_the_end(axes, ends, names, [form.colour for form in looks])
    return figure
