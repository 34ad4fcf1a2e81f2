"""What a command made, told to DVC where it keeps the project."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from negbench.benchmark.reports.screen import log

if TYPE_CHECKING:
    from pathlib import Path

    from negbench.benchmark.recipe.schema import RunConfig


def tell_dvc(cells: "Sequence[tuple[RunConfig, Path]]" = (), features: Sequence[str] = ()) -> None:
    """Cells with their folders, and datasets whose features were made; a line on stderr for what DVC did not record."""
    from negbench.benchmark.sweeps.tracking import is_tracked, track

    if is_tracked():
        for line in track(cells, log().print, features):
            log().print(line)


def tell_dvc_of_external(dataset: str, folder: "Path") -> None:
    """A record of a model that was trained elsewhere."""
    from negbench.benchmark.sweeps.tracking import is_tracked, track_external

    if is_tracked():
        for line in track_external(dataset, folder, log().print):
            log().print(line)


def tell_dvc_of_study(config: "RunConfig", trials: int) -> None:
    """A study, if it is the one that ``params.yaml`` asks for."""
    from negbench.benchmark.sweeps.tracking import is_tracked, track_study

    if is_tracked():
        for line in track_study(config, trials, log().print):
            log().print(line)
