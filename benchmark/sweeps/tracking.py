"""What ``bench`` made is what DVC would have made: its stages are committed, and records of no stage are added.

Only what is what a stage would make now is committed to it, so that DVC runs whatever is stale.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from negbench.benchmark.errors import BenchError
from negbench.benchmark.recipe.flags import resolve
from negbench.benchmark.recipe.params import PARAMS, params
from negbench.benchmark.recipe.schema import Judging, RunConfig
from negbench.benchmark.recipe.stages import is_in_pipeline, mark_params, stages_of
from negbench.benchmark.results import records
from negbench.benchmark.results.records import RUNS, RunRecord
from negbench.benchmark.sweeps.cell import code_hash
from negbench.benchmark.sweeps.processes import UNTRACKED
from negbench.pipelines import project
from negbench.pipelines.current import made
from negbench.pipelines.errors import DataError
from negbench.pipelines.project import Say

STUDY = "pipelines/dvc.yaml:tune"


def is_tracked() -> bool:
    """Whether this is the place and the moment to tell DVC: not where DVC itself runs a stage."""
    return not {UNTRACKED, "DVC_STAGE"} & {*os.environ} and project.has_stages("params", "prepare", "features", "run")


def is_added(folder: Path) -> bool:
    """Whether DVC knows a record that belongs to no stage."""
    return folder.with_name(f"{folder.name}.dvc").exists()


def check_judging(folder: Path, judging: Mapping[str, float]) -> None:
    """``BenchError`` where an audit would leave in a stage's folder what the stage would not: other thresholds.

    ``judging``: thresholds other than those of the record.
    """
    if not is_tracked() or not (folder / "run.json").exists():
        return
    config = records.read(folder).config.model_copy(update=dict(judging))
    stage, place = stages_of([config]).get(config.hash, ("", None))
    if folder != place:
        return
    meant = resolve({"method": folder.parent.name, "dataset": config.dataset, "seed": config.seed})
    for name in Judging.model_fields:
        one, other = getattr(config, name), getattr(meant, name)
        if one != other:
            raise BenchError(
                f"{folder} is of the stage {stage}, and {PARAMS} means {name} {other:g}, not {one:g}: change it there,"
                " or audit a copy of the folder elsewhere"
            )


def is_current(folder: Path, record: RunRecord) -> bool:
    """Whether DVC may be told of a record: of one that was audited again, where its code is that of now."""
    return is_added(folder) or record.code_hash == code_hash(record.config)


def track(cells: Sequence[tuple[RunConfig, Path]], say: Say, features: Sequence[str] = ()) -> Iterator[str]:
    """Let DVC record cells with their folders, and the features of datasets; a line where it did not.

    One process of DVC for all stages, and one for all records that belong to none.
    """
    try:
        own = stages_of(config for config, _ in cells)
        stages = _of_data([*features, *(config.dataset for config, _ in cells)])
    except (BenchError, DataError, OSError) as error:
        yield f"DVC tracks nothing of it: {error}"
        return
    others = []
    for config, folder in cells:
        stage, place = own.get(config.hash, ("", None))
        if folder == place:
            stages.append(stage)
        elif not folder.is_absolute() and folder.is_relative_to(RUNS) and is_in_pipeline(config.dataset):
            others.append(folder)
    yield from _told(stages, others, say)


def track_study(config: RunConfig, trials: int, say: Say) -> Iterator[str]:
    """Let DVC record a study, if it is the one that ``params.yaml`` asks for; a line where it did not."""
    wanted = params().tune
    if not Path(STUDY.partition(":")[0]).exists() or not wanted.method or trials < wanted.trials:
        return
    try:
        if resolve({"method": wanted.method, "dataset": wanted.dataset}).hash == config.hash:
            yield from _told([*_of_data([config.dataset]), STUDY], [], say)
    except (BenchError, DataError, OSError) as error:
        yield f"DVC tracks nothing of it: {error}"


def _of_data(datasets: Sequence[str]) -> list[str]:
    """The stages of datasets that are as DVC would leave them; ``params`` is, for it is done here."""
    encoders = mark_params().encoders
    listed = [name for name in dict.fromkeys(datasets) if name in encoders]
    return ["params", *(f"{stage}@{name}" for name in listed for stage in made(name, encoders[name]))]


def _told(stages: Sequence[str], folders: Sequence[Path], say: Say) -> Iterator[str]:
    for told in (project.commit(stages, say), project.add(folders, say)):
        if told is not None and not told.done:
            yield told.line
