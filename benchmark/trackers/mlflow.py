"""MLflow: where ``MLFLOW_TRACKING_URI`` says, or else a database of SQLite, ``tracked/mlflow.db``."""

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from negbench.benchmark.trackers.base import ROOM, Axis, Status, TrackedCell, Tracker
from negbench.benchmark.training.watcher import History

DATABASE = ROOM / "mlflow.db"
FILES = ROOM / "mlflow"
"""Where figures and records are kept beside that database."""
ENDS = {"done": "FINISHED", "collapsed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MLflow(Tracker):
    package = "mlflow"

    def begin(self, cell: TrackedCell) -> str:
        from mlflow import MlflowClient
        from mlflow.entities import Param, RunTag

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        place = os.environ.get("MLFLOW_TRACKING_URI")
        if place is None:
            ROOM.mkdir(exist_ok=True)
            place = f"sqlite:///{DATABASE}"
            self.client: MlflowClient = MlflowClient(tracking_uri=place)
            files: str | None = FILES.absolute().as_uri()
        else:
            self.client, files = MlflowClient(tracking_uri=place), None
        found = self.client.get_experiment_by_name(cell.project)
        number = found.experiment_id if found else self.client.create_experiment(cell.project, files)
        self.run = self.client.create_run(number, run_name=cell.name).info.run_id
        params = [Param(name, str(value)) for name, value in cell.flat().items()]
        self.client.log_batch(self.run, params=params, tags=[RunTag("negbench.started", cell.started)])
        return f"{place}, run {self.run}"

    def values(self, axis: Axis, number: int, values: History) -> None:
        self._tell({f"{axis}/{name}": value for name, value in values.items()}, number)

    def _tell(self, values: History, step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run, [Metric(name, value, now, step) for name, value in values.items()])

    def figure(self, name: str, picture: Path) -> None:
        self.client.log_artifact(self.run, str(picture), "figures")

    def artefact(self, files: Sequence[Path]) -> None:
        for path in files:
            self.client.log_artifact(self.run, str(path), "record")

    def end(self, status: Status, metrics: History) -> None:
        self._tell({f"test/{name}": value for name, value in metrics.items()}, 0)
        self.client.set_tag(self.run, "negbench.status", status)
        self.client.set_terminated(self.run, ENDS[status])
