"""One anchor of a run: what it retrieves, and which negatives methods would pick."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from negbench.benchmark.inspection.looks import Inspection, Item, Look, probability
from negbench.benchmark.reports.numbers import MISSING
from negbench.benchmark.reports.terminal.table import plain_table
from negbench.pipelines.text import one_line

KNOWN = {
    "truth": "the truth is known of every pair",
    "judgements": "judged true, judged not: people said so; empty: nobody was asked",
    "": "nothing is known of pairs beyond the labels",
}
"""What the marks say, by what is known."""
STYLES = {"labelled": "green", "true": "bold yellow", "judged true": "bold yellow"}
"""Of marks."""


def show(found: Inspection, screen: Console) -> None:
    """Two tables for each direction, and what their columns mean."""
    what = f"{found.method} on {found.dataset}, seed {found.seed}, {found.protocol}"
    screen.print(Text(one_line(what), style="bold"))
    for look in found.looks:
        asks = "image to texts" if look.direction == "i2t" else "text to images"
        screen.print(Text(f"\n{asks}: {one_line(look.anchor)}", style="bold"))
        screen.print(Text(one_line(f"“{look.text}”" + (f" of {look.image_id}" if look.direction == "t2i" else ""))))
        screen.print(Text(f"The labelled positive ranks {look.rank:,g} of {look.candidates:,}.\n"))
        screen.print(_retrieved(look), "", _negatives(look), "")
    for name, state in {each.method: each.state for each in found.looks[0].picks}.items():
        screen.print(Text(one_line(f"{name}: {state}."), style="dim"))
    legend = (
        "share: of a method's choices over 100 draws, or of its push. #: place among all candidates."
        " p: how much the method (above: the first of those below) takes it for a false negative."
        f" Marks: {KNOWN[found.known]}. More: docs/inspect.md"
    )
    screen.print(Text(legend, style="dim"))


def _retrieved(look: Look) -> Table:
    table = plain_table("retrieved", "sim", "mark", "p", "", left=("mark", ""), folds=("",))
    for item in look.top:
        table.add_row(str(item.place), *_cells(item))
    return table


def _negatives(look: Look) -> Table:
    """A few lines for each method, its name on the first of them."""
    words, folds = ("negatives of", "mark", ""), ("negatives of", "")
    table = plain_table("negatives of", "share", "#", "sim", "mark", "p", "", left=words, folds=folds)
    for each in look.picks:
        for number, item in enumerate(each.items):
            share = f"{item.share:.0%}" if item.share is not None and item.share >= 0.01 else "<1%"
            table.add_row(Text("" if number else one_line(each.method)), share, f"{item.place:,}", *_cells(item))
        if not each.items:
            table.add_row(Text(one_line(each.method)), MISSING, "", "", "", "", Text(one_line(each.reason)))
    return table


def _cells(item: Item) -> list[Text]:
    """Similarity, mark, suspicion, caption with id."""
    p = MISSING if item.suspicion is None else probability(item.suspicion)
    mark = Text(one_line(item.mark), style=STYLES.get(item.mark, "dim"))
    name = Text.assemble((one_line(item.text), ""), "  " if item.text else "", (one_line(item.id), "dim"))
    return [Text(f"{item.similarity:.3f}"), mark, Text(p), name]
