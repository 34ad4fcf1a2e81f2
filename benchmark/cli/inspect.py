"""``bench inspect``: one anchor of a run, what it retrieves, and which negatives methods would pick."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.reports.screen import log, out, wide
from negbench.pipelines.text import json_text


class AskingSide(StrEnum):
    """Which side asks."""

    I2T = "i2t"
    T2I = "t2i"
    BOTH = "both"


def inspect(
    run: Annotated[
        Path, typer.Argument(autocompletion=complete.run, help="Folder of a run's record.", show_default=False)
    ],
    anchor: Annotated[str, typer.Option(help="Id of a test image or caption; random; worst.")] = "worst",
    direction: Annotated[AskingSide, typer.Option(help="Which side of the pair asks.")] = AskingSide.BOTH,
    top: Annotated[int, typer.Option(min=1, help="Retrieved items to show.")] = 10,
    methods: Annotated[
        str, typer.Option(autocompletion=complete.methods, help="Beside the run's own, by commas; or all.")
    ] = "hardest,semi-hard,fne",
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
    from negbench.benchmark.reports.terminal import inspection

    if html is not None:
        destinations.check_file(f"--html {html}", html)

    directions = tuple(way for way in looks.DIRECTIONS if direction in (way, AskingSide.BOTH))
    found = looks.inspect(run, anchor, directions, top, chosen, seed)
    if html is not None:
        from negbench.benchmark.reports.inspection_page import page, thumbnails
        from negbench.pipelines.atomic import write_text
        from negbench.pipelines.manifest import Manifest
        from negbench.pipelines.sources import manifest_folder

        write_text(html, page(found, thumbnails(Manifest.read(manifest_folder(found.dataset)))))
        log().print(f"page written to {html}")
    if as_json:
        typer.echo(json_text(found.as_dict()))
    else:
        inspection.show(found, wide(out()))
