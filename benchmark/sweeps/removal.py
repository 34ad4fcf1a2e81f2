"""Records that somebody wants to be rid of, with what only stands for them."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from negbench.benchmark.results.recorded import Recorded
from negbench.benchmark.results.records import KIND
from negbench.benchmark.training import checkpoint
from negbench.pipelines import atomic
from negbench.pipelines.errors import RequestError


def dependents(gone: Sequence[Recorded], all_cells: Sequence[Recorded]) -> list[Recorded]:
    """Ensembles of which a member would be gone, and which would not."""
    hashes = {cell.record.config_hash for cell in gone}
    folders = {cell.folder for cell in gone}
    return [
        cell
        for cell in all_cells
        if cell.folder not in folders
        and cell.record.external is not None
        and any(member.config_hash in hashes for member in cell.record.external.members)
    ]


def check(cell: Recorded, root: Path) -> None:
    """``RequestError`` where a record holds what bench did not make, or lies elsewhere and is only linked to."""
    if not cell.folder.resolve().is_relative_to(root.resolve()):
        raise RequestError(f"{cell.folder} is a link to {cell.folder.resolve()}; remove it there")
    KIND.check(cell.folder)


def remove(cell: Recorded) -> None:
    """A record with its checkpoint, in one step each, and the folder of its row where nothing else is left in it."""
    checkpoint.forget(checkpoint.place(cell.folder))
    target = cell.folder.resolve()
    atomic.remove(target)
    with suppress(OSError):  # other seeds
        target.parent.rmdir()
