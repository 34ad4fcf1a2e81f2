"""Weights & Biases: project ``negbench``, or that of ``WANDB_PROJECT``; ``WANDB_MODE=offline`` sends nothing."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from negbench.benchmark.trackers.base import ROOM, Axis, Status, TrackedCell, Tracker
from negbench.benchmark.training.watcher import History

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

AXES: tuple[Axis, ...] = ("step", "epoch")


class WeightsAndBiases(Tracker):
    package = "wandb"

    def begin(self, cell: TrackedCell) -> str:
        import wandb

        ROOM.mkdir(exist_ok=True)
        quiet = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True)
        project = os.environ.get("WANDB_PROJECT", cell.project)
        self.run: Run = wandb.init(
            project=project, name=cell.name, config=cell.flat(), dir=os.environ.get("WANDB_DIR", ROOM), settings=quiet
        )
        for axis in AXES:
            self.run.define_metric(f"{axis}/*", step_metric=axis)
        return str(Path(self.run.dir).parent) if self.run.offline else str(self.run.url)

    def values(self, axis: Axis, number: int, values: History) -> None:
        self.run.log({axis: number, **{f"{axis}/{name}": value for name, value in values.items()}})

    def figure(self, name: str, picture: Path) -> None:
        import wandb

        self.run.log({f"figures/{name}": wandb.Image(str(picture))})

    def artefact(self, files: Sequence[Path]) -> None:
        import wandb

        record = wandb.Artifact(f"record-{self.run.id}", type="record")
        for path in files:
            record.add_file(str(path))
        self.run.log_artifact(record)

    def end(self, status: Status, metrics: History) -> None:
        self.run.summary.update({"status": status, **{f"test/{name}": value for name, value in metrics.items()}})
        self.run.finish(exit_code=int(status in ("failed", "interrupted")))
