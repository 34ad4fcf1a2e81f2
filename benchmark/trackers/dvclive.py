"""DVCLive: a folder of plain files below ``tracked/dvclive/``; it makes no experiment and tells DVC nothing."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from negbench.benchmark.trackers.base import ROOM, Axis, Status, TrackedCell, Tracker
from negbench.benchmark.training.watcher import History

FOLDER = ROOM / "dvclive"


class DVCLive(Tracker):
    package = "dvclive"

    def begin(self, cell: TrackedCell) -> str:
        from dvclive.live import Live

        self.folder = FOLDER / cell.folder
        self.live: Live = Live(str(self.folder), save_dvc_exp=False, dvcyaml=None, report=None)
        self.live.log_params(dict(cell.settings))
        return str(self.folder)

    def values(self, axis: Axis, number: int, values: History) -> None:
        self.live.step = number
        for name, value in values.items():
            self.live.log_metric(f"{axis}s/{name}", value)  # "step" is the tool's own
        self.live.make_summary()

    def figure(self, name: str, picture: Path) -> None:
        self.live.log_image(f"{name}.png", str(picture))

    def artefact(self, files: Sequence[Path]) -> None:
        record = self.folder / "record"
        record.mkdir()
        for path in files:
            shutil.copyfile(path, record / path.name)

    def end(self, status: Status, metrics: History) -> None:
        for name, value in metrics.items():
            self.live.log_metric(f"test/{name}", value, plot=False)
        self.live.log_param("status", status)
        self.live.end()
