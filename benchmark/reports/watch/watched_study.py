"""What the process of a study knows of its trials."""

from collections.abc import Sequence
from time import localtime, strftime

from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.watch.estimates import Pace, Times, kind_of, left_in_all, recorded_times
from negbench.benchmark.reports.watch.shown import CellShown, FailureShown, RowShown, WorkShown
from negbench.benchmark.sweeps.studies import Trial


class WatchedStudy:
    """Its trials, and then the trainings with fresh seeds."""

    def __init__(self, config: RunConfig) -> None:
        self._epochs, self._kind = config.epochs, kind_of(config)
        self._times = Times(recorded_times([config.dataset])[0])
        self._paces: dict[str, Pace] = {}
        """Of those that run."""
        self._reached: dict[str, str] = {}
        """The last epoch of those that run here."""
        self._total, self._done, self._ended, self._what = 0, 0, 0, ""
        self._failures: list[FailureShown] = []
        self._rows: dict[int, tuple[Trial, str]] = {}

    def plan(self, trainings: int) -> None:
        """So many are to come."""
        self._what = "trainings with fresh seeds" if self._what else "trials"
        self._total, self._done, self._ended = trainings, 0, 0
        self._failures, self._paces = [], {}

    def running(self, names: Sequence[str], now: float) -> None:
        """These run now; those that are gone have ended, though we may be told later how."""
        for name in self._paces.keys() - names:
            self._ended += 1
            self._times.now[self._kind].append(now - self._paces[name].began)
            self._reached.pop(name, None)
        self._paces = {name: self._paces.get(name) or Pace(now) for name in names}

    def epoch(self, number: int, rsum: float, now: float) -> None:
        """One that runs here is so far; ``number`` is from 1."""
        for name, pace in self._paces.items():
            pace.add(1, now)
            of = self._epochs
            self._reached[name] = f"epoch {number:>{len(str(of))}}/{of}  val rSum {rsum:6.1f}"

    def ended(self, name: str, error: str | None, now: float) -> None:
        """This is how one came out, ``trial 3``; while it ran here it was ``trial 3/20``."""
        self.running([other for other in self._paces if other.partition("/")[0] != name], now)
        self._done += 1
        if error is not None:
            self._failures.insert(0, FailureShown(name, error, ""))

    def row(self, row: Trial, words: str) -> None:
        """A trial, and what it differs in from the defaults."""
        self._rows[row.number] = (row, words)

    def shown(self, now: float) -> WorkShown:
        """What is to be seen at a moment."""
        own = [pace.whole(self._epochs) for pace in self._paces.values()]
        guess = self._times.guess(self._kind, [seconds for seconds in own if seconds is not None])
        left: dict[str, float | None] = {}
        for name, pace in self._paces.items():
            left[name] = None if guess is None else max(guess - (now - pace.began), 0.0)
        waiting = max(self._total - self._ended - len(self._paces), 0)
        return WorkShown(
            self._what,
            self._total,
            self._done - len(self._failures),
            len(self._failures),
            left_in_all([*left.values()], [guess] * waiting),
            tuple(
                CellShown(name, strftime("%H:%M", localtime(pace.began)), self._reached.get(name, ""), left[name])
                for name, pace in self._paces.items()
            ),
            tuple(self._failures),
            "validation rSum of the best trials so far; difference to the defaults",
            tuple(self._best()),
        )

    def _best(self) -> list[RowShown]:
        complete = sorted(
            (-row.rsum, row.number, words) for row, words in self._rows.values() if row.state == "complete" and row.rsum
        )
        default = next((-rsum for rsum, _, words in complete if not words), None)
        return [
            RowShown(f"trial {number}", -rsum, words or "defaults", -rsum - default if words and default else None)
            for rsum, number, words in complete
        ]
