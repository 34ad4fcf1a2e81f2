"""What ``bench`` made is what DVC would have made: its stages are committed, and records of no stage are added."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.params import params
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.recipe.stages import mark_params, stages_of
from negbench.benchmark.results.records import RUNS
from negbench.benchmark.sweeps.processes import UNTRACKED
from negbench.pipelines import project
from negbench.pipelines.project import Say


def is_tracked() -> bool:
    """Whether this is the place and the moment to tell DVC: not where DVC itself runs a stage."""
    return not {UNTRACKED, "DVC_STAGE"} & {*os.environ} and project.has_stages("params", "prepare", "features", "run")


def track(cells: Sequence[tuple[RunConfig, Path]], say: Say, features: Sequence[str] = ()) -> Iterator[str]:
    """Let DVC record cells with their folders, and the features of datasets; a line where it did not.

    One process of DVC for all stages, and one for all records that belong to none.
    """
    try:
        listed = params()
        datasets = dict.fromkeys([*features, *(config.dataset for config, _ in cells)])
        ours = [name for name in datasets if name in listed.encoders]
        stages = [f"{stage}@{name}" for name in ours for stage in ("prepare", "features")]
        own = stages_of(config for config, _ in cells)
        mark_params()
    except BenchError as error:
        yield f"DVC tracks nothing of it: {error}"
        return
    runs = [name for config, folder in cells for name, place in [own.get(config.hash, ("", None))] if place == folder]
    others = [folder for config, folder in cells if own.get(config.hash, ("", None))[1] != folder]
    inside = [folder for folder in others if not folder.is_absolute() and folder.is_relative_to(RUNS)]
    for told in (project.commit(["params", *stages, *runs], say), project.add(inside, say)):
        if told is not None and not told.done:
            yield told.line
