"""Tuning: defaults first, resumed as if never stopped, pruned, confirmed, and blind to the test split."""

import csv
import json
import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from PIL import Image

from commands import Done, bench, bench_process
from negbench import methods
from negbench.benchmark.errors import BenchError, NoDataError, RunFailedError
from negbench.benchmark.recipe.flags import resolve
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.plots.tuning import importance, tuning_history
from negbench.benchmark.reports.study_folder import write
from negbench.benchmark.sweeps import journal, tuning
from negbench.benchmark.sweeps.pruning import trial_result
from negbench.benchmark.sweeps.search_space import space_of, suggest
from negbench.benchmark.sweeps.studies import Budget, Fresh, Outcome, Trial, Tried, TuningWatcher, best_of
from negbench.benchmark.sweeps.trial_request import TrialRequest, TrialResult
from negbench.benchmark.sweeps.tuning import Study, TuningTask, tune
from negbench.benchmark.training.loop import Trained, train
from negbench.benchmark.training.watcher import Watcher
from negbench.methods.base import Choice, Range
from negbench.pipelines import locks
from negbench.pipelines.manifest import Manifest
from negbench.pipelines.store import FeatureStore, Split, digest_of

Tiny = tuple[Manifest, FeatureStore]
SMALL = {"epochs": 4, "batch": 16, "memory": 16, "dim": 8, "hidden": 16, "learning_rate": 0.01}
FOLDER = Path("studies") / "tiny" / "fne+memory=16"


class Blind(FeatureStore):
    """A store whose test split cannot be opened."""

    def split(self, split: str) -> Split:
        assert split in ("train", "val"), "the test split was opened"
        return super().split(split)


def task_of(tiny: Tiny, **changes: Any) -> TuningTask:
    config = RunConfig(**{"method": "fne", "dataset": "tiny", "encoder": "made+up", **SMALL, **changes})
    store = Blind(tiny[1].folder, tiny[0].hash)
    return TuningTask(config, space_of(config), tiny[0].hash, store, None)


class Scripted:
    """In place of training: a curve per margin, so that a test says which trial is good; counts the trainings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[int, dict[str, Any]]] = []
        self.epochs = 0
        self.best_epoch = 3
        monkeypatch.setattr(tuning, "train", self)

    def value(self, config: RunConfig) -> float:
        margin: float = config.settings["margin"]
        return 100 - 100 * abs(margin - 0.3) + config.seed

    def __call__(self, config: RunConfig, store: object, truth: object, watcher: Watcher, texts: object) -> Trained:
        self.seen.append((config.seed, config.settings))
        for epoch in range(config.epochs):
            self.epochs += 1
            watcher.epoch({"epoch": epoch, "val_rsum": self.value(config) * (epoch + 1) / config.epochs})
        none: Any = None
        validation = {"rsum": self.value(config)}
        return Trained(none, None, self.best_epoch, validation, [], [], False, 1.0, {"both": 0.1})


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    return Scripted(monkeypatch)


@pytest.fixture
def built(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds its data made."""
    monkeypatch.setattr("negbench.benchmark.cli.features.ensure_with_progress", lambda dataset, encoder: tiny)


def search(task: TuningTask, trials: int, fresh: int = 0) -> Outcome:
    return tune(task, FOLDER, Budget(trials, fresh_seeds=fresh), TuningWatcher(), write)


def trials_of(outcome: Outcome) -> list[tuple[dict[str, Any], str, float | None]]:
    return [(row.settings, row.state, row.rsum) for row in outcome.rows]


def bench_tune(*words: str) -> Done:
    small = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    return bench("tune", "--dataset", "tiny", *small, *words)


def test_real_training_is_the_same_twice_and_never_opens_the_test_split(tiny: Tiny) -> None:
    task = task_of(tiny)
    first = search(task, 3, fresh=1)
    (FOLDER / "journal.log").unlink()
    second = search(task, 3, fresh=1)
    assert (first.rows, first.default, first.best) == (second.rows, second.default, second.best)
    assert first.rows[0].settings == task.defaults
    assert first.rows[0].rsum == train(task.config, task.store, None).validation["rsum"]
    again = task.config.model_copy(update={"seed": 1})
    assert first.default.fresh[0].rsum == train(again, task.store, None).validation["rsum"]


def test_resumed_study_equals_an_uninterrupted_one(tiny: Tiny, scripted: Scripted) -> None:
    whole = search(task_of(tiny), 14)
    ran = len(scripted.seen)
    (FOLDER / "journal.log").unlink()
    for trials in (1, 5, 12):
        assert len(search(task_of(tiny), trials).rows) == trials
    assert trials_of(search(task_of(tiny), 14)) == trials_of(whole)
    assert len(scripted.seen) == 2 * ran


@pytest.mark.parametrize("stop", ["during the first", "during the fourth", "before it has drawn"])
def test_killed_trial_is_run_again(tiny: Tiny, scripted: Scripted, monkeypatch: pytest.MonkeyPatch, stop: str) -> None:
    whole = search(task_of(tiny), 6)
    (FOLDER / "journal.log").unlink()
    done = 0 if "first" in stop else 3
    if done:
        search(task_of(tiny), done)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tuning, "suggest" if "drawn" in stop else "train", killed)
        with pytest.raises(KeyboardInterrupt):
            search(task_of(tiny), 6)
    assert trials_of(search(task_of(tiny), 6)) == trials_of(whole)
    states = [trial.state for trial in Study(task_of(tiny), FOLDER / "journal.log").optuna.trials]
    assert states.count(TrialState.FAIL) == 1
    assert TrialState.RUNNING not in states


def test_finished_study_runs_nothing_and_says_the_same(tiny: Tiny, scripted: Scripted) -> None:
    first = search(task_of(tiny), 6, fresh=2)
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    ran = len(scripted.seen)
    assert search(task_of(tiny), 6, fresh=2) == first
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == files
    assert len(scripted.seen) == ran
    search(task_of(tiny), 6, fresh=3)  # one more seed, for default and best
    assert [seed for seed, _ in scripted.seen[ran:]] == [3, 3]


def test_all_trials_have_one_seed_and_the_fresh_ones_others(tiny: Tiny, scripted: Scripted) -> None:
    outcome = search(task_of(tiny, seed=7), 5, fresh=3)
    assert [seed for seed, _ in scripted.seen] == [7] * 5 + [8, 9, 10] * 2
    assert [run.seed for run in outcome.best.fresh] == [8, 9, 10]
    assert outcome.best.mean == pytest.approx(outcome.best.done[1])
    assert outcome.best.std == pytest.approx(1.0)


def test_poor_trials_are_pruned_after_the_warm_up(tiny: Tiny, scripted: Scripted) -> None:
    outcome = search(task_of(tiny, epochs=6, warmup_epochs=2), 15)
    pruned = [row for row in outcome.rows if row.state == "pruned"]
    assert pruned
    assert {row.epochs for row in pruned} <= {4, 5}  # from the second epoch after the warm-up, not at the last
    assert scripted.epochs < 15 * 6
    rsums = sorted((row.rsum or 0.0) / (row.epochs or 0) * 6 for row in pruned)
    assert rsums[-1] < (outcome.best.row.rsum or 0.0)
    assert [row.state for row in outcome.rows[:5]] == ["complete"] * 5


def test_failed_trial_keeps_its_line_and_the_study_goes_on(
    tiny: Tiny, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = scripted.value

    def diverge(config: RunConfig) -> float:
        if config.settings["margin"] != 0.2 and (config.seed > 0 or len(scripted.seen) % 2):
            raise RunFailedError("the loss of epoch 1 is nan")
        return value(config)

    monkeypatch.setattr(scripted, "value", diverge)
    outcome = search(task_of(tiny), 8, fresh=2)
    failed = [row for row in outcome.rows if row.state == "failed"]
    assert {row.error for row in failed} == {"the loss of epoch 1 is nan"}
    assert outcome.states == {"complete": 8 - len(failed), "pruned": 0, "failed": len(failed)}
    assert outcome.best.summary() | {"n": 0, "mean": None} == outcome.best.summary()  # shown, not averaged
    assert len(search(task_of(tiny), 8).rows) == 8  # a failure is a trial: it is not tried again


def test_no_complete_trial_is_an_error(tiny: Tiny) -> None:
    with pytest.raises(RunFailedError, match=r"none of 2 trials is complete.* epoch 0 failed"):
        search(task_of(tiny, learning_rate=1e38), 2)


def test_other_recipe_data_or_space_is_another_study_of_the_same_journal(tiny: Tiny, scripted: Scripted) -> None:
    tasks = [task_of(tiny), task_of(tiny, epochs=3), task_of(tiny, settings={"margin": 0.25}), task_of(tiny, seed=1)]
    for task in tasks:
        search(task, 2)
    assert len({task.name for task in tasks}) == 4
    assert len(scripted.seen) == 8
    assert len(search(tasks[0], 2).rows) == 2
    assert len(scripted.seen) == 8


def test_best_json_is_a_configuration_of_bench_run(tiny: Tiny, scripted: Scripted) -> None:
    outcome = search(task_of(tiny, settings={"margin": 0.3, "threshold": 0.01}), 4)
    assert "margin" not in outcome.facts["space"]
    content = json.loads((FOLDER / "best.json").read_text())
    assert content["method"] == "fne"
    Path("params.yaml").write_text("settings:\n  fne:\n    tau_close: 99\n")
    config = resolve({"dataset": "tiny"}, file=FOLDER / "best.json")
    held = {"margin": 0.3, "threshold": 0.01}
    assert methods.get("fne").Settings.of(config.settings) == methods.get("fne").Settings.of(
        {name: value for name, value in outcome.best.row.settings.items() if name != "rate_factor"} | held
    )
    assert (config.rate_factor, config.tuned) == (outcome.best.row.settings["rate_factor"], True)
    assert config.method_id.startswith("fne[tuned-")
    assert config.hash == config.model_copy(update={"tuned": False}).hash


def test_trials_csv_has_a_row_per_trial(tiny: Tiny, scripted: Scripted) -> None:
    outcome = search(task_of(tiny), 3)
    with (FOLDER / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["rsum"]) for row in rows] == [row.rsum for row in outcome.rows]
    assert [float(row["tau_close"]) for row in rows] == [row.settings["tau_close"] for row in outcome.rows]


def test_half_a_line_and_a_left_lock_are_mended(tiny: Tiny, scripted: Scripted) -> None:
    search(task_of(tiny), 2)
    path = FOLDER / "journal.log"
    path.write_bytes(path.read_bytes() + b'{"op_code":4,"wor')
    (FOLDER / "journal.log.lock").symlink_to("journal.log")
    start = time.monotonic()
    assert len(search(task_of(tiny), 3).rows) == 3
    assert time.monotonic() - start < 5
    assert len(search(task_of(tiny), 3).rows) == 3


@pytest.mark.parametrize(
    "content",
    ["no journal\n", "[]\n", '{"a": 1}\n', '{"op_code": 99, "worker_id": "x"}\n', "[" * 200_000 + "\n"],
    ids=range(5),
)
def test_broken_journal_is_one_line(tiny: Tiny, content: str) -> None:
    FOLDER.mkdir(parents=True)
    (FOLDER / "journal.log").write_text(content)
    with pytest.raises(BenchError, match=r"journal.log: no journal of Optuna that can be read; move it away"):
        search(task_of(tiny), 1)


@pytest.mark.parametrize("rsum", ["9999.0", "-1.0", "NaN", "599.0"])
def test_a_journal_with_another_rsum_is_refused(tiny: Tiny, scripted: Scripted, rsum: str) -> None:
    search(task_of(tiny), 2)
    path = FOLDER / "journal.log"
    path.write_text(re.sub(r'"values": ?\[[^]]*\]', f'"values":[{rsum}]', path.read_text()))
    said = "599.0, but .* in trials.csv" if rsum == "599.0" else "cannot be; move it away"
    with pytest.raises(BenchError, match=f"journal.log: trial 1: rSum .*{said}"):
        search(task_of(tiny), 2)


def test_trials_that_the_journal_lost_are_told(tiny: Tiny, scripted: Scripted) -> None:
    class Notes(TuningWatcher):
        lines: ClassVar[list[str]] = []

        def note(self, line: str) -> None:
            self.lines.append(line)

    search(task_of(tiny), 3)
    (FOLDER / "journal.log").write_text("")
    tune(task_of(tiny), FOLDER, Budget(3, fresh_seeds=0), Notes(), write)
    assert Notes.lines == ["3 finished trials of trials.csv are not in journal.log; they are run again"]


@pytest.mark.parametrize("name", ["journal.log", "study.json", "best.json", "trials.csv"])
def test_a_pipe_in_a_study_is_one_line(tiny: Tiny, scripted: Scripted, name: str) -> None:
    FOLDER.mkdir(parents=True)
    os.mkfifo(FOLDER / name)
    with pytest.raises(BenchError, match=f"{name}: not a file"):
        search(task_of(tiny), 1)


def test_features_made_anew_meanwhile_end_the_tuning(tiny: Tiny, scripted: Scripted) -> None:
    task = task_of(tiny)
    search(task, 2)
    file = task.store.folder / "features.json"
    info = json.loads(file.read_text())
    files = info["files"] | {"train_images.npy": "0" * 32}
    file.write_text(json.dumps(info | {"files": files, "hash": digest_of(files)}))
    with pytest.raises(NoDataError, match="made anew meanwhile"):
        search(task, 3)
    assert len(scripted.seen) == 2
    assert len(search(task_of(tiny), 1).rows) == 1  # another study


def test_importance_finds_the_setting_that_matters(tiny: Tiny, scripted: Scripted) -> None:
    assert search(task_of(tiny), 9).importance == {}
    assert not (FOLDER / "importance.png").exists()
    outcome = search(task_of(tiny), 20)
    assert outcome.states["pruned"] > 0
    assert sum(outcome.importance.values()) == pytest.approx(1)
    assert next(iter(outcome.importance)) == "margin"
    assert (FOLDER / "importance.png").exists()
    search(task_of(tiny, epochs=3), 2)
    assert not (FOLDER / "importance.png").exists()  # that of another study is gone


@pytest.mark.parametrize("lines", range(1, 16))
def test_a_journal_cut_after_any_of_its_first_lines_begins_with_the_defaults(
    tiny: Tiny, scripted: Scripted, lines: int
) -> None:
    task = task_of(tiny)
    whole = search(task, 3)
    path = FOLDER / "journal.log"
    text = path.read_text().splitlines(keepends=True)
    assert len(text) > 15
    path.write_text("".join(text[:lines]))
    again = search(task, 3)
    assert again.default.row.settings == task.defaults
    assert again.default.row.number == 1
    assert trials_of(again) == trials_of(whole)


def test_defaults_that_were_never_tried_are_tried_and_never_pruned(
    tiny: Tiny, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(tiny)
    FOLDER.mkdir(parents=True)
    with monkeypatch.context() as patch:  # as the journals of older versions may be
        patch.setattr(Study, "default", row(0, "complete", 1.0))
        study = Study(task, FOLDER / "journal.log")
        study.search(12, TuningWatcher())
    assert task.defaults not in [row.settings for row in study.rows]
    monkeypatch.setattr(scripted, "value", lambda config: 1.0 + config.settings["margin"])
    outcome = search(task, 12, fresh=1)
    assert len(outcome.rows) == 13
    assert (outcome.default.row.number, outcome.default.row.state) == (13, "complete")
    assert outcome.default.row.settings == task.defaults
    assert [run.seed for run in outcome.default.fresh] == [1]
    assert len(search(task, 12, fresh=1).rows) == 13


def kill_at_line(moment: int) -> None:
    """From here on, the ``moment``-th line of the journal is not written: this process is killed."""
    plain, lines = JournalFileBackend.append_logs, iter(range(1, 10**6))

    def append(backend: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        for log in logs:
            if next(lines) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            plain(backend, [log])

    JournalFileBackend.append_logs = append  # type: ignore[assignment, method-assign]  # of a process that ends


@pytest.mark.parametrize("moment", range(1, 14, 2))
def test_really_killed_while_it_draws_the_first_trial_it_tries_the_defaults(
    tiny: Tiny, scripted: Scripted, moment: int
) -> None:
    task = task_of(tiny)
    child = os.fork()
    if child == 0:
        try:
            kill_at_line(moment)
            search(task, 2)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    outcome = search(task, 2)
    assert outcome.default.row.settings == task.defaults
    assert outcome.default.row.number == 1
    (FOLDER / "journal.log").unlink()
    assert trials_of(search(task, 2)) == trials_of(outcome)


def test_two_at_once_are_refused(tiny: Tiny, scripted: Scripted) -> None:
    search(task_of(tiny), 1)
    said = rf"another bench tune is at work there \(process {os.getpid()} since \d\d:\d\d\)"
    with locks.alone(journal.LOCKS / "tiny-fne+memory=16.lock"), pytest.raises(BenchError, match=said):
        search(task_of(tiny), 2)


@pytest.mark.parametrize("method", methods.names())
def test_defaults_lie_in_the_search_space(method: str) -> None:
    settings = methods.get(method).Settings()
    for entry in fields(settings):
        space, default = entry.metadata["search"], getattr(settings, entry.name)
        if isinstance(space, Range):
            assert space.low <= default <= space.high, entry.name
            methods.get(method).Settings.of({entry.name: space.low})
            methods.get(method).Settings.of({entry.name: space.high})
        elif isinstance(space, Choice):
            assert default in space.options, entry.name


def test_whole_ends_give_whole_numbers() -> None:
    trial = optuna.trial.FixedTrial({"k": 3, "tau": 0.5, "cut": "none"})
    drawn: Any = trial
    assert suggest(drawn, "k", Range(1, 9)) == 3
    assert isinstance(trial.distributions["k"], optuna.distributions.IntDistribution)
    assert suggest(drawn, "tau", Range(0.1, 1, log=True)) == 0.5
    assert suggest(drawn, "cut", Choice(("none", "global"))) == "none"


def row(number: int, state: Literal["complete", "pruned", "failed"], rsum: float | None) -> Trial:
    return Trial(number, state, rsum, 3, False, {"margin": 0.1 * number}, None, False, None)


def test_best_is_complete_and_the_first_of_equals() -> None:
    rows = [row(1, "failed", None), row(2, "complete", 5.0), row(3, "pruned", 9.0), row(4, "complete", 5.0)]
    assert best_of(rows) == rows[1]
    assert best_of(rows[:1]) is None


def test_failed_and_collapsed_seeds_are_not_averaged() -> None:
    tried = Tried(row(1, "complete", 5.0), [Fresh(1, "done", 4.0), Fresh(2, "collapsed", 0.5), Fresh(3, "failed")])
    assert (tried.mean, tried.std) == (4.0, None)
    other = Tried(row(2, "complete", 6.0), [Fresh(1, "done", 3.0), Fresh(2, "done", 4.0), Fresh(3, "done", 4.0)])
    assert tried.gains(other) == [1.0]


def test_plots(tmp_path: Path) -> None:
    rows = [row(1, "failed", None), row(2, "complete", 400.0), row(3, "pruned", 390.0), row(4, "complete", 410.0)]
    tuning_history(rows, tmp_path / "history.png")
    importance({"margin": 0.75, "tau_close": 0.25}, tmp_path / "importance.png")
    for path in sorted(tmp_path.iterdir()):
        with Image.open(path) as picture:
            assert min(picture.size) > 200
    assert len(list(tmp_path.iterdir())) == 2


def test_command(tiny: Tiny, scripted: Scripted, built: None) -> None:
    result = bench_tune("--method", "fne", "--trials", "12", "--fresh-seeds", "2")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("trial ")]
    assert lines[0] == "trial  1/12  complete  rSum   90.0  best   90.0  defaults"
    assert len(lines) == 12 + 4
    assert "validation rSum, fresh seeds 1, 2" in result.stdout
    assert re.search(r"fresh seeds: \d+\.\d rSum above the defaults, higher with 2 of 2", result.stdout)
    assert {path.name for path in FOLDER.iterdir()} >= {"best.json", "study.json", "trials.csv", "history.png"}
    ran = len(scripted.seen)
    again = bench_tune("--method", "fne", "--trials", "12", "--fresh-seeds", "2")
    assert again.stdout == result.stdout
    as_json = bench_tune("--method", "fne", "--trials", "12", "--fresh-seeds", "2", "--json")
    assert json.loads(as_json.stdout) == json.loads((FOLDER / "study.json").read_text())
    assert len(scripted.seen) == ran


def test_command_says_that_the_default_is_the_best(tiny: Tiny, scripted: Scripted, built: None) -> None:
    result = bench_tune("--method", "fne", "--trials", "1", "--fresh-seeds", "0")
    assert result.exit_code == 0, result.output
    assert "no trial beats the defaults (1 complete)" in result.stdout
    assert "warm-up:" not in result.stdout


def test_command_says_that_no_trial_got_beyond_the_warm_up(tiny: Tiny, scripted: Scripted, built: None) -> None:
    scripted.best_epoch = 0
    result = bench_tune("--method", "fne", "--trials", "2", "--fresh-seeds", "0")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("no better than the warm-up") == 2
    assert "its best epoch is one of the warm-up" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "fnee"], "did you mean 'fne'?"),
        (["--method", "fne", "--set", "tau_clos=1"], "tau_close"),
        (
            ["--method", "hardest", "--set", "margin=0.2", "--set", "rate_factor=1"],
            "hardest: nothing to search, as margin, rate_factor are set to one value",
        ),
        (["--method", "fne", "--trials", "0"], "--trials"),
    ],
)
def test_wrong_usage_exits_2_and_leaves_nothing(tiny: Tiny, words: list[str], message: str) -> None:
    result = bench_tune(*words)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert not Path("studies").exists()


def test_of_a_method_without_settings_the_learning_rate_is_searched(
    tiny: Tiny, built: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = bench_tune("--method", "siglip", "--trials", "2", "--fresh-seeds", "0")
    assert result.exit_code == 0, result.output
    folder = FOLDER.with_name("siglip+memory=16")
    rows = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
    assert float(rows[0]["rate_factor"]) == 1 != float(rows[1]["rate_factor"])
    assert rows[0]["rsum"] != rows[1]["rsum"]
    assert json.loads((folder / "best.json").read_text())["tuned"] is True


def test_interrupt_exits_130_and_the_same_command_goes_on(
    tiny: Tiny, scripted: Scripted, built: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(config: RunConfig) -> float:
        if len(scripted.seen) == 3:
            raise KeyboardInterrupt
        return 50.0

    with monkeypatch.context() as patch:
        patch.setattr(scripted, "value", interrupted)
        result = bench_tune("--method", "fne", "--trials", "4")
    assert result.exit_code == 130
    assert "kept in studies/tiny/fne+memory=16; the same command goes on with it" in result.stderr
    assert [path.name for path in FOLDER.iterdir()] == ["journal.log"]
    result = bench_tune("--method", "fne", "--trials", "4", "--fresh-seeds", "0")
    assert result.exit_code == 0, result.output
    assert [line[:9] for line in result.stderr.splitlines() if line.startswith("trial")] == ["trial 3/4", "trial 4/4"]


# --- Several at a time --------------------------------------------------------------------------------------------


class Together:
    """Helpers of this process: what workers would do, in any order."""

    def __init__(self, task: TuningTask, count: int, backwards: bool = False, dies: int | None = None) -> None:
        self.count, self.backwards, self.dies = count, backwards, dies
        self._task = task
        self.rounds: list[list[str]] = []

    def train(self, requests: Sequence[TrialRequest]) -> Iterator[tuple[TrialRequest, TrialResult]]:
        self.rounds.append([request.name for request in requests])
        if len(self.rounds) == self.dies:
            raise KeyboardInterrupt
        for request in reversed(requests) if self.backwards else requests:
            yield request, trial_result(self._task, request, Watcher())


def in_rounds(tiny: Tiny, trials: int, count: int, **more: Any) -> tuple[Outcome, Together]:
    task = task_of(tiny)
    helpers = Together(task, count, **more)
    return tune(task, FOLDER, Budget(trials, fresh_seeds=2), TuningWatcher(), write, helpers), helpers


def test_rounds_of_one_are_trials_one_by_one(tiny: Tiny, scripted: Scripted) -> None:
    whole = search(task_of(tiny), 14, fresh=2)
    (FOLDER / "journal.log").unlink()
    found, _ = in_rounds(tiny, 14, 1)
    assert (found.rows, found.default, found.best) == (whole.rows, whole.default, whole.best)
    assert found.states["pruned"] > 0


def test_a_round_does_not_depend_on_who_ends_first_nor_on_being_stopped(tiny: Tiny, scripted: Scripted) -> None:
    whole, helpers = in_rounds(tiny, 18, 4)
    assert whole.states["pruned"] > 0
    assert helpers.rounds[0] == [f"trial {n}" for n in range(1, 5)]
    assert [len(names) for names in helpers.rounds] == [4, 4, 4, 4, 2, 4]
    assert whole.rows[0].settings == task_of(tiny).defaults
    (FOLDER / "journal.log").unlink()
    other, _ = in_rounds(tiny, 18, 4, backwards=True)
    assert other.rows == whole.rows
    (FOLDER / "journal.log").unlink()
    for dies in (1, 2, 2):
        with pytest.raises(KeyboardInterrupt):
            in_rounds(tiny, 18, 4, dies=dies)
    assert in_rounds(tiny, 18, 4)[0].rows == whole.rows


def test_a_round_that_was_told_in_part_is_completed(
    tiny: Tiny, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = in_rounds(tiny, 16, 4)
    (FOLDER / "journal.log").unlink()
    told, plain = 0, Study._tell

    def tell(self: Study, trial: optuna.Trial, result: TrialResult) -> None:
        nonlocal told
        told += 1
        if told == 11:
            raise KeyboardInterrupt
        plain(self, trial, result)

    with monkeypatch.context() as patch:
        patch.setattr(Study, "_tell", tell)
        with pytest.raises(KeyboardInterrupt):
            in_rounds(tiny, 16, 4)
    found, helpers = in_rounds(tiny, 16, 4)
    assert helpers.rounds[0] == ["trial 11", "trial 12"]
    assert found.rows == whole.rows


def test_two_studies_of_four_jobs_are_the_same(small_project: Path) -> None:
    words = ["tune", "--dataset", "small", "--method", "fne", "--jobs", "4", "--trials", "5", "--fresh-seeds", "1"]
    small = ["--epochs", "3", "--set", "batch=32", "--set", "hidden=8", "--set", "dim=8", "--memory", "64"]
    found = []
    for _ in range(2):
        done = bench_process(*words, *small)
        assert done.exit_code == 0, done.stderr
        folder = Path("studies/small/fne+memory=64")
        study = json.loads((folder / "study.json").read_text())
        found.append(((folder / "trials.csv").read_text(), study["default"], study["best"]))
        (folder / "journal.log").unlink()
    assert found[0] == found[1]
    assert len(found[0][0].splitlines()) == 6
    # what a worker trains is what this process trains
    done = bench_process(*words[:5], "--trials", "1", "--fresh-seeds", "1", *small)
    assert done.exit_code == 0, done.stderr
    assert json.loads((folder / "study.json").read_text())["default"] == found[0][1]


def test_a_scheduler_needs_a_number_of_jobs(small_project: Path) -> None:
    done = bench("tune", "--dataset", "small", "--method", "fne", "--scheduler", "127.0.0.1:1")
    assert (done.exit_code, done.stderr) == (
        2,
        "error: --jobs is missing: the number of trials that are asked together\n",
    )
