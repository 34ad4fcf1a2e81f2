"""``bench record``: a model that was trained elsewhere, by its embeddings or similarities."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negbench.benchmark.cli import complete
from negbench.benchmark.cli.tracked import tell_dvc_of_external
from negbench.benchmark.errors import BenchError
from negbench.benchmark.reports.screen import log, out
from negbench.benchmark.results.place import RUNS
from negbench.pipelines.text import json_text

if TYPE_CHECKING:
    from negbench.benchmark.recipe.external import External
    from negbench.benchmark.results.recorded import Recorded


def record(
    members: Annotated[
        list[Path] | None, typer.Argument(help="With --ensemble: folders of records.", show_default=False)
    ] = None,
    method: Annotated[str | None, typer.Option(help="What the model is called; need be no method.")] = None,
    dataset: Annotated[
        str | None, typer.Option(autocompletion=complete.dataset, help="Dataset whose test split it is of.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help=".npy [images, dim]; a row per caption's image will do.")] = None,
    captions: Annotated[Path | None, typer.Option(help=".npy [captions, dim].")] = None,
    similarity: Annotated[Path | None, typer.Option(help=".npy [images, captions], in place of both.")] = None,
    image_ids: Annotated[Path | None, typer.Option(help="Ids in the order of the rows, one a line.")] = None,
    caption_ids: Annotated[Path | None, typer.Option(help="The same of captions.")] = None,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="The mean similarity of the records named.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Tells trainings of one model apart.")] = 0,
    note: Annotated[str, typer.Option(help="A line to stand under tables.")] = "",
    to: Annotated[Path | None, typer.Option("--out", help="Folder of the record.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of another record.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Record a model that was trained elsewhere, by its embeddings or similarities of the test; or an ensemble."""
    from negbench.benchmark.exchange import door
    from negbench.benchmark.exchange.given import GivenArray, GivenIds, Submission

    files = (images, captions, similarity, image_ids, caption_ids)
    if ensemble:
        if any(files) or dataset is not None:
            raise BenchError("--ensemble takes folders of records, which say what they are of; leave the others out")
        recorded, new = _ensemble(members or [], method, seed, note, to, replace)
    elif members:
        raise BenchError(f"{members[0]}: folders of records are for --ensemble")
    elif method is None or dataset is None:
        raise BenchError("give --method NAME and --dataset NAME, or --ensemble with folders of records")
    else:
        arrays, ids = [GivenArray.read(path) for path in files[:3]], [GivenIds.read(path) for path in files[3:]]
        given = Submission(arrays[0], arrays[1], arrays[2], ids[0], ids[1])
        external = door.external_of(dataset, method, seed, door.kind_of(given), note)
        _check(external, to)
        recorded, new = door.submit(external, given, to, replace)
    _show(recorded, new, as_json)
    if new:
        tell_dvc_of_external(recorded.record.dataset, recorded.folder)


def _ensemble(
    members: list[Path], method: str | None, seed: int, note: str, to: Path | None, replace: bool
) -> "tuple[Recorded, bool]":
    from negbench.benchmark.exchange import door, ensemble

    cells = ensemble.members_of(members)
    name = method or ensemble.name_of(cells)
    external = door.external_of(cells[0].record.dataset, name, seed, "ensemble", note, ensemble.told_of(cells))
    _check(external, to)
    return door.submit_ensemble(external, ensemble.mean_of(cells), to, replace)


def _check(external: "External", to: Path | None) -> None:
    """Whether the record may stand where it is to."""
    from negbench.benchmark.exchange.recording import folder_of
    from negbench.benchmark.reports import destinations
    from negbench.benchmark.results import records

    folder = to or folder_of(external)
    destinations.check_folder(f"--out {to}" if to else str(folder), folder, records.KIND, RUNS)


def _show(recorded: "Recorded", new: bool, as_json: bool) -> None:
    from negbench.benchmark.reports.terminal.record import show

    record = recorded.record
    if as_json:
        typer.echo(json_text(record.model_dump(mode="json")))
    else:
        show(record, out())
    if record.external is not None and record.external.repeated:
        log().print("the rows of --images repeat, one for each caption: the first of each image is taken")
    without = f" without an audit: {record.error}" if record.error else ""
    log().print(f"{'recorded' if new else 'already recorded'} in {recorded.folder}{without}")
