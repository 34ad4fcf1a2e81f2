"""``bench inspect``: one anchor of a run, what it retrieves, and which negatives methods would pick."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negbench.benchmark.reports.screen import log, out, wide
from negbench.pipelines.text import json_text, one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from negbench.benchmark.inspection.looks import Inspection, Item, Look


class Side(StrEnum):
    """Which side asks."""

    I2T = "i2t"
    T2I = "t2i"
    BOTH = "both"


def inspect(
    run: Annotated[Path, typer.Argument(help="Folder of a run's record.", show_default=False)],
    anchor: Annotated[str, typer.Option(help="Id of a test image or caption; random; worst.")] = "worst",
    direction: Annotated[Side, typer.Option(help="Which side of the pair asks.")] = Side.BOTH,
    top: Annotated[int, typer.Option(min=1, help="Retrieved items to show.")] = 10,
    methods: Annotated[str, typer.Option(help="Beside the run's own, by commas; or all.")] = "hardest,semi-hard,fne",
    html: Annotated[Path | None, typer.Option(help="Write a page with the pictures, too.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random anchor and of all draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Look at one query of a run: what it retrieves, and the negatives each method would pick for it."""
    from negbench.methods.registry import get, names

    chosen = names() if methods == "all" else [name.strip() for name in methods.split(",") if name.strip()]
    for name in chosen:
        get(name)
    from negbench.benchmark.inspection import looks
    from negbench.benchmark.reports import destinations

    if html is not None:
        destinations.check_file(f"--html {html}", html)

    directions = tuple(way for way in looks.DIRECTIONS if direction in (way, Side.BOTH))
    found = looks.inspect(run, anchor, directions, top, chosen, seed)
    if html is not None:
        from negbench.benchmark.reports.inspection_page import page, thumbnails
        from negbench.pipelines.atomic import write_text
        from negbench.pipelines.manifest import Manifest
        from negbench.pipelines.sources import manifest_folder

        write_text(html, page(found, thumbnails(Manifest.read(manifest_folder(found.dataset)))))
        log().print(f"page written to {html}", markup=False)
    if as_json:
        typer.echo(json_text(found.as_dict()))
    else:
        show(found, wide(out()))


def show(found: "Inspection", screen: "Console") -> None:
    """Two tables for each direction, and what their columns mean."""
    from rich.text import Text

    what = f"{found.method} on {found.dataset}, seed {found.seed}, {found.protocol}"
    screen.print(Text(one_line(what), style="bold"))
    for look in found.looks:
        asks = "image to texts" if look.direction == "i2t" else "text to images"
        screen.print(Text(f"\n{asks}: {one_line(look.anchor)}", style="bold"))
        screen.print(Text(one_line(f"“{look.text}”" + (f" of {look.image_id}" if look.direction == "t2i" else ""))))
        screen.print(Text(f"The labelled positive ranks {look.rank:,g} of {look.candidates:,}.\n"))
        screen.print(retrieved(look), "", negatives(look), "")
    for name, state in {each.method: each.state for each in found.looks[0].picks}.items():
        screen.print(Text(one_line(f"{name}: {state}."), style="dim"))
    known = {
        "truth": "the truth is known of every pair",
        "judgements": "judged true, judged not: people said so; empty: nobody was asked",
        "": "nothing is known of pairs beyond the labels",
    }[found.known]
    legend = (
        "share: of a method's choices over 100 draws, or of its push. #: place among all candidates."
        f" p: how much the method (above: the run's own) takes it for a false negative. Marks: {known}."
        " More: docs/inspect.md"
    )
    screen.print(Text(legend, style="dim"))


def retrieved(look: "Look") -> "Table":
    table = plain_table(("retrieved", "right"), ("sim", "right"), ("mark", "left"), ("p", "right"), ("", "left"))
    for item in look.top:
        table.add_row(str(item.place), *cells(item))
    return table


def negatives(look: "Look") -> "Table":
    """A few lines for each method, its name on the first of them."""
    from rich.text import Text

    kinds = (("negatives of", "left"), ("share", "right"), ("#", "right"), ("sim", "right"), ("mark", "left"))
    table = plain_table(*kinds, ("p", "right"), ("", "left"))
    table.columns[0].no_wrap, table.columns[0].overflow = False, "fold"
    for each in look.picks:
        for number, item in enumerate(each.items):
            share = f"{item.share:.0%}" if item.share is not None and item.share >= 0.01 else "<1%"
            table.add_row(Text("" if number else one_line(each.method)), share, f"{item.place:,}", *cells(item))
        if not each.items:
            table.add_row(Text(one_line(each.method)), "–", "", "", "", "", Text(one_line(each.reason)))
    return table


def cells(item: "Item") -> "list[Text]":
    """Similarity, mark, suspicion, caption with id."""
    from rich.text import Text

    from negbench.benchmark.inspection.looks import probability

    style = {"labelled": "green", "true": "bold yellow", "judged true": "bold yellow"}.get(item.mark, "dim")
    p = "–" if item.suspicion is None else probability(item.suspicion)
    name = Text.assemble((one_line(item.text), ""), "  " if item.text else "", (one_line(item.id), "dim"))
    return [Text(f"{item.similarity:.3f}"), Text(one_line(item.mark), style=style), Text(p), name]


def plain_table(*headers: "tuple[str, str]") -> "Table":
    """The last column wraps where the screen is narrow, the others never do."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    for header, side in headers:
        table.add_column(header, justify="right" if side == "right" else "left", no_wrap=True)
    table.columns[-1].no_wrap, table.columns[-1].overflow = False, "fold"
    return table
