"""TensorBoard: event files below ``tracked/tensorboard/``; the record is a text there, as it keeps no files."""

import json
from collections.abc import Sequence
from pathlib import Path

from negbench.benchmark.trackers.base import ROOM, Axis, Status, TrackedCell, Tracker
from negbench.benchmark.training.watcher import History

FOLDER = ROOM / "tensorboard"


class TensorBoard(Tracker):
    package = "tensorboard"

    def begin(self, cell: TrackedCell) -> str:
        from torch.utils.tensorboard.writer import SummaryWriter

        folder = FOLDER / cell.folder
        self.writer: SummaryWriter = SummaryWriter(str(folder))
        self.cell = cell
        self.writer.add_text("recipe", fenced(json.dumps(dict(cell.settings), indent=2)))
        return f"{folder} (tensorboard --logdir {FOLDER})"

    def values(self, axis: Axis, number: int, values: History) -> None:
        for name, value in values.items():
            self.writer.add_scalar(f"{axis}/{name}", value, number)
        self.writer.flush()

    def figure(self, name: str, picture: Path) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(picture) as image:
            self.writer.add_image(name, np.asarray(image.convert("RGB")), dataformats="HWC")

    def artefact(self, files: Sequence[Path]) -> None:
        for path in files:
            if path.suffix == ".json":
                self.writer.add_text(path.name, fenced(path.read_text(encoding="utf-8")))

    def end(self, status: Status, metrics: History) -> None:
        told = {f"test/{name}": value for name, value in metrics.items()}
        self.writer.add_text("status", status)
        self.writer.add_hparams({**self.cell.flat(), "status": status}, told, run_name=".")
        self.writer.close()


def fenced(text: str) -> str:
    """JSON as a block of code of Markdown: by its indent, which nothing inside can end."""
    return "".join(f"    {line}\n" for line in text.splitlines())
