"""A training with trackers beside what shows it. A tracker that fails is told in one line, and is out from there on."""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from negbench.benchmark.errors import NoDataError, first_line
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.results.records import RunRecord
from negbench.benchmark.trackers.base import Status, TrackedCell, Tracker
from negbench.benchmark.training.watcher import History, Watcher
from negbench.pipelines.text import short

PICTURES = ("curves", "similarities")
"""Of one run."""
WEIGHTS = ".safetensors"
"""Files of a record that stay where they are: they may be gigabytes."""


class Tracking(Watcher):
    """Tells what shows a training, and then each tracker."""

    def __init__(self, shown: Watcher, classes: Mapping[str, type[Tracker]]) -> None:
        self.shown = shown
        self.trackers: dict[str, Tracker] = {}
        for name, kind in classes.items():
            with self._guarded(name):
                self.trackers[name] = kind()
        self.every = max((tracker.every for tracker in self.trackers.values()), default=0)

    def begin(self, cell: TrackedCell) -> None:
        def one(name: str, tracker: Tracker) -> None:
            self.said(f"tracked by {name}: {tracker.begin(cell)}")

        self._each(one)

    def step(self, epoch: int, step: int, steps: int) -> None:
        self.shown.step(epoch, step, steps)

    def sample(self, step: int, values: History) -> None:
        self._each(lambda _, tracker: tracker.sample(step, values))

    def epoch(self, row: History) -> None:
        self._each(lambda _, tracker: tracker.epoch(row))
        self.shown.epoch(row)

    def said(self, line: str) -> None:
        self.shown.said(line)

    def recorded(self, folder: Path, record: RunRecord) -> None:
        """The training's record stands: pass on pictures, files and metrics, and end."""
        if not self.trackers:
            return
        files = sorted(path for path in folder.iterdir() if path.suffix != WEIGHTS)
        with tempfile.TemporaryDirectory() as scratch:
            pictures = self._pictures(folder, Path(scratch))

            def one(_: str, tracker: Tracker) -> None:
                for name, picture in pictures.items():
                    tracker.figure(name, picture)
                tracker.artefact(files)

            self._each(one)
        self.end(record.status, record.metrics)

    def _pictures(self, folder: Path, scratch: Path) -> dict[str, Path]:
        try:
            return drawn(folder, scratch)
        except Exception as error:
            self.said(f"no pictures for trackers: {told(error)}")
            return {}

    def end(self, status: Status, metrics: History) -> None:
        def one(_: str, tracker: Tracker) -> None:
            tracker.pass_on()
            tracker.end(status, metrics)

        self._each(one)
        self.trackers.clear()

    def _each(self, call: Callable[[str, Tracker], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            with self._guarded(name):
                call(name, tracker)

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """What a tracker raises inside is told, and it is out; its warnings are not for whoever trains."""
        try:
            with warnings.catch_warnings(action="ignore"):
                yield
        except (Exception, SystemExit) as error:
            self.trackers.pop(name, None)
            self.said(f"tracker {name} failed, and the run goes on without it: {told(error)}")


def told(error: BaseException) -> str:
    """An error of somebody else's in one line."""
    return f"{type(error).__name__}: {short(first_line(error))}"


@contextmanager
def tracking(
    classes: Mapping[str, type[Tracker]], config: RunConfig, folder: Path, shown: Watcher
) -> Iterator[Tracking]:
    """A training's watcher. Trackers are told how the training ended where no record was passed on.

    Args:
        classes: the trackers.
        config: the cell.
        folder: of its record, which names the run.
        shown: what tells a person.
    """
    watcher = Tracking(shown, classes)
    parts = folder.parts[1:] if folder.parts[0] == "runs" else [part for part in folder.parts if part not in "/.."]
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    watcher.begin(TrackedCell("/".join(parts), started, config.model_dump(mode="json")))
    try:
        yield watcher
    except KeyboardInterrupt:
        watcher.end("interrupted", {})
        raise
    except BaseException:
        watcher.end("failed", {})
        raise
    watcher.end("done", {})


def drawn(folder: Path, scratch: Path) -> dict[str, Path]:
    """Pictures of a record, as far as it has what they need."""
    from negbench.benchmark.reports import plots
    from negbench.benchmark.reports.plots.selection import Wanted

    found: dict[str, Path] = {}
    for name in PICTURES:
        question = Wanted(run=folder) if name == "similarities" else Wanted(root=folder)
        try:
            files, _ = plots.draw(name, question, scratch)
        except NoDataError:
            continue
        found[name] = next(path for path in files if path.suffix == ".png")
    return found
