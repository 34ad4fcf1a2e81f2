"""The screen of a sweep: what it knows of its cells, and that it fits every terminal."""

import fcntl
import io
import os
import pty
import struct
import subprocess
import termios
from datetime import UTC, datetime
from pathlib import Path
from time import localtime, strftime
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from commands import BENCH
from negbench.benchmark.reports.progress import epoch_line, trial_line
from negbench.benchmark.reports.screen import Screen
from negbench.benchmark.reports.watch.cell_log import CellLog, reached
from negbench.benchmark.reports.watch.estimates import Kind, Pace, Times, left_in_all
from negbench.benchmark.reports.watch.frame import Frame, about
from negbench.benchmark.reports.watch.shown import CellShown, FailureShown, RowShown, WorkShown
from negbench.benchmark.reports.watch.sweep_screen import ShowSweep
from negbench.benchmark.reports.watch.watched import Watched
from negbench.benchmark.reports.watch.watched_study import WatchedStudy
from negbench.benchmark.results import records
from negbench.benchmark.sweeps.cell import folder_of
from negbench.benchmark.sweeps.studies import Budget, Trial
from negbench.benchmark.sweeps.sweep import LOGS, Done, PlannedCell, cells
from negbench.benchmark.sweeps.tune_all import Rule
from negbench.benchmark.sweeps.tune_all import plan as plan_of_studies

SMALL = ["epochs=2", "batch=32", "hidden=8", "dim=4"]
HOSTILE = st.text(st.sampled_from("ab 日\u0301\x1b[31m\n\t…\u202e:smile:[/]"), max_size=90)


def work(running: int = 2, failures: int = 1, rows: int = 3) -> WorkShown:
    return WorkShown(
        "cells",
        30,
        12,
        failures,
        14 * 60,
        tuple(
            CellShown(f"fne (2,048 @0.95) seed {seed}", "14:02", f"epoch {seed:>2}/20  val rSum  252.9", 40.0)
            for seed in range(running)
        ),
        tuple(FailureShown(f"tal (in batch) seed {seed}", "error: no", f"logs/{seed}.log") for seed in range(failures)),
        "rSum so far, mean over the seeds done; difference to hardest (in batch)",
        tuple(RowShown(f"method-{place} (in batch)", 300.0 - place, "2 of 3 seeds", 8.25) for place in range(rows)),
    )


def drawn(shown: WorkShown, width: int, height: int) -> list[str]:
    file = io.StringIO()
    screen = Screen(file=file, force_terminal=True, color_system=None, width=width, height=height, _environ={})
    screen.print(Frame(shown))
    return file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_all_is_shown_where_it_fits(width: int, height: int) -> None:
    assert drawn(work(), width, height) == [
        "12 done, 1 failed, 17 left of 30 cells  about 14 min left",
        "  fne (2,048 @0.95) seed 0  epoch  0/20  val rSum  252.9  about 40 s",
        "  fne (2,048 @0.95) seed 1  epoch  1/20  val rSum  252.9  about 40 s",
        "  tal (in batch) seed 0: error: no",
        "    logs/0.log",
        "rSum so far, mean over the seeds done; difference to hardest (in batch)",
        "  method-0 (in batch)   300.0    +8.2  2 of 3 seeds",
        "  method-1 (in batch)   299.0    +8.2  2 of 3 seeds",
        "  method-2 (in batch)   298.0    +8.2  2 of 3 seeds",
    ]


def test_a_short_terminal_has_what_runs_then_what_failed_then_the_best_rows() -> None:
    lines = drawn(work(running=2, failures=2, rows=14), 80, 10)
    assert len(lines) == 9
    assert lines[3].startswith("  tal (in batch) seed 0")
    assert lines[5].startswith("  tal (in batch) seed 1")
    assert lines[7:] == ["rSum so far, mean over the seeds done; difference to hardest (in batch)", "  ... and 14 more"]
    lines = drawn(work(running=20), 80, 10)
    assert lines[-1] == "  ... and 13 more"
    assert all(" seed " in line for line in lines[1:-1])
    lines = drawn(work(running=1, failures=0, rows=14), 80, 10)
    assert lines[-1] == "  ... and 9 more"
    assert lines[3].startswith("  method-0 ")


def test_the_end_of_a_long_name_and_the_time_left_stay() -> None:
    name = "scenes a-method-of-a-long-name[with=settings] (2,048 @0.95) seed 12"
    cell = CellShown(name, "", "epoch  3/20  val rSum  252.9", 12000)
    lines = drawn(WorkShown("cells", 1, 0, 0, None, (cell,)), 80, 9)
    assert " seed 12  epoch  3/20  val rSum  252.9  about 3 h 20 min" in lines[1]
    failed = FailureShown("fne (in batch) seed 1", "error: " + "x" * 60, "a.log")
    lines = drawn(WorkShown("cells", 1, 0, 1, None, failures=(failed,)), 80, 24)
    assert lines[1:] == ["  fne (in batch) seed 1:", f"    {failed.line}", "    a.log"]


@given(
    st.integers(1, 130),
    st.integers(1, 45),
    st.lists(HOSTILE, max_size=9),
    st.lists(st.tuples(HOSTILE, HOSTILE), max_size=5),
    st.lists(HOSTILE, max_size=20),
)
def test_never_wider_and_never_higher(
    width: int, height: int, running: list[str], failed: list[tuple[str, str]], rows: list[str]
) -> None:
    shown = WorkShown(
        "cells",
        10**6,
        5,
        len(failed),
        1e7,
        tuple(CellShown(name, "14:02", left_s=1e6) for name in running),
        tuple(FailureShown(name, line, name) for name, line in failed),
        "heading",
        tuple(RowShown(name, 100.0, name, -1e3) for name in rows),
    )
    lines = drawn(shown, width, height)
    assert len(lines) < max(height, 2)
    assert max(map(cell_len, lines), default=0) <= width


def test_what_is_printed_of_an_epoch_and_of_a_trial_is_read_again(small_project: Path, tmp_path: Path) -> None:
    (cell,) = cells("fne", ["small"], [0], [None])
    row = {"epoch": 2.0, "loss": 0.5, "val_rsum": 252.94, "seconds": 1.0, "false_negative_both": 0.1}
    line = epoch_line(row, cell.config)
    found = reached(line)
    assert found is not None
    assert (found.number, found.of) == (3, cell.config.epochs)
    assert found.words == f"epoch 3/{cell.config.epochs}  val rSum  252.9"
    trial = Trial(7, "complete", 250.0, 3, False, {}, None, False, None)
    told = reached(trial_line(trial, trial, 20, {}))
    assert told is not None
    assert told.words == "trial  7/20  best  250.0"
    assert reached("trial 7 again, seed 1  rSum 250.0") is None
    log = CellLog(tmp_path / "one.log")
    assert (log.look(), log.reached) == (0, None)
    with (tmp_path / "one.log").open("a") as file:
        file.write(f"epoch of its own\n{line}\n{line[:9]}")
        file.flush()
        assert (log.look(), log.look(), log.reached) == (1, 0, found)
        file.write(f"{line[9:]}\n")
        file.flush()
        assert log.look() == 1


def test_time_left_is_that_of_its_like_or_of_its_own_epochs() -> None:
    one, other = Kind("scenes", "fne", 0, "a"), Kind("scenes", "hardest", 0, "a")
    times = Times({one: [10.0, 20.0]})
    assert times.guess(one, [99.0]) == 15.0
    assert times.guess(other, [99.0]) == 99.0
    assert times.guess(other) is None
    times.now[other].append(40.0)
    assert (times.guess(one), times.guess(other)) == (15.0, 40.0)
    assert times.guess(Kind("f8k", "tal", 0, "b"), [99.0]) == 40.0
    pace = Pace(100.0)
    assert pace.left(1, 10, 107.0) is None
    pace.add(1, 107.0)  # it had to begin
    assert pace.whole(10) == 70.0
    pace.add(2, 111.0)
    assert pace.whole(10) == 20.0
    assert pace.left(3, 10, 112.0) == 13.0
    assert pace.left(3, 10, 1000.0) == 0.0
    assert left_in_all([10.0, 20.0], [30.0]) == 30.0
    assert left_in_all([10.0, 50.0], []) == 50.0
    assert left_in_all([10.0], [None]) is None
    assert left_in_all([], [10.0]) is None
    assert [about(s) for s in (0.2, 40, 61, 840, 12000)] == [
        "about 1 s",
        "about 40 s",
        "about 1 min",
        "about 14 min",
        "about 3 h 20 min",
    ]


def write(cell: PlannedCell, rsum: float, wall_s: float = 30.0) -> None:
    """A record of a cell, as far as a screen reads it."""
    like = records.read(Path("runs/small/fne/seed-0"))
    config, folder = cell.config, folder_of(cell.config)
    assert like.cost is not None
    record = like.model_copy(
        update={
            "config": config,
            "method_id": config.method_id,
            "config_hash": config.hash,
            "recipe_hash": config.recipe_hash,
            "metrics": like.metrics | {"rsum": rsum},
            "cost": like.cost.model_copy(update={"wall_s": wall_s}),
            "created": datetime.now(UTC).isoformat(),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(record.model_dump_json())


def said(cell: PlannedCell, *lines: str) -> None:
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / cell.log).open("a") as log:
        log.writelines(f"{line}\n" for line in lines)


def test_a_sweep_is_seen_from_its_first_cell_to_its_last(small_project: Path) -> None:
    plan = cells("hardest,fne", ["small"], [0, 1], [0], SMALL)
    hardest, fne, *later = plan
    watched = Watched(plan)
    began = 1_000_000.0
    clock = strftime("%H:%M", localtime(began))
    watched.running([hardest.name, fne.name], began)
    shown = watched.shown(began)
    assert (shown.total, shown.done, shown.left_s, shown.rows) == (4, 0, None, ())
    assert [(cell.name, cell.since, cell.reached) for cell in shown.running] == [
        ("hardest (in batch) seed 0", clock, ""),
        ("fne (in batch) seed 0", clock, ""),
    ]
    said(hardest, "epoch  1/2  loss 0.1  val rSum  100.0  3.0s")
    said(fne, "epoch  1/2  loss 0.1  val rSum  120.0  3.0s")
    shown = watched.shown(began + 10)
    assert [(cell.reached, cell.left_s) for cell in shown.running] == [
        ("epoch 1/2  val rSum  100.0", 10.0),
        ("epoch 1/2  val rSum  120.0", 10.0),
    ]
    assert shown.left_s == 30.0  # two more of 20 s, two at a time
    write(hardest, 300.0)
    watched.finished(Done(hardest, 0, "recorded", LOGS / hardest.log), began + 20)
    watched.finished(Done(fne, 1, "error: no memory", LOGS / fne.log), began + 20)
    watched.running([cell.name for cell in later], began + 20)
    shown = watched.shown(began + 20)
    assert (shown.done, shown.failed, len(shown.running)) == (1, 1, 2)
    assert shown.failures == (FailureShown("fne (in batch) seed 0", "error: no memory", str(LOGS / fne.log)),)
    for cell, rsum in zip(later, (302.0, 310.0), strict=True):
        write(cell, rsum)
        watched.finished(Done(cell, 0, "recorded", LOGS / cell.log), began + 40)
    shown = watched.shown(began + 40)
    assert shown.heading.endswith("difference to hardest (in batch)")
    assert [(row.name, row.rsum, row.said, row.difference) for row in shown.rows] == [
        ("fne (in batch)", 310.0, "1 of 2 seeds", 8.0),  # over the seed that both have
        ("hardest (in batch)", 301.0, "2 of 2 seeds", None),
    ]


def test_before_the_first_cell_ends_its_records_tell_how_long(small_project: Path) -> None:
    before, *plan = cells("hardest", ["small"], [0, 1, 2], [0], SMALL)
    write(before, 300.0, wall_s=30.0)
    watched = Watched(plan)
    watched.running([plan[0].name], 100.0)
    shown = watched.shown(110.0)
    assert shown.running[0].left_s == 20.0
    assert shown.left_s == 50.0
    again = Watched([before, plan[0]])  # one of which is recorded
    again.running([plan[0].name], 100.0)
    assert again.shown(110.0).left_s == 20.0
    other = Watched(cells("hardest", ["small"], [1], [64], SMALL))
    assert other.shown(0.0).heading.endswith("no row of hardest (in batch) to compare with")


def test_rows_of_several_tables_say_which(small_project: Path) -> None:
    plan = cells("fne[prior=50]", ["small"], [0], [0], [*SMALL[1:], "epochs=2,3"])
    watched = Watched(plan)
    watched.running([cell.name for cell in plan], 0.0)
    names = [cell.name for cell in watched.shown(0.0).running]
    assert [name.replace(".0", "") for name in names] == [
        "fne[prior=50] (in batch) epochs=2 seed 0",
        "fne[prior=50] (in batch) epochs=3 seed 0",
    ]


def test_a_study_is_seen_by_its_trials(small_project: Path) -> None:
    (study,) = plan_of_studies(["fne"], [None], Rule("small", 0, Budget(20), tuple(SMALL)))
    watched = Watched([study])
    watched.running([study.name], 0.0)
    LOGS.mkdir(parents=True)
    (LOGS / study.log).write_text("trial  1/20  complete  rSum  240.0  best  252.9  defaults\n")
    shown = watched.shown(10.0)
    assert shown.what == "studies"
    assert shown.running[0].name.endswith(" study")
    assert shown.running[0].reached == "trial  1/20  best  252.9"


def trial(number: int, rsum: float | None, **settings: float) -> Trial:
    state: Literal["complete", "failed"] = "complete" if rsum else "failed"
    return Trial(number, state, rsum, 2, False, settings, None, False, None if rsum else "no memory")


def test_a_single_study_is_seen_by_its_best_trials(small_project: Path) -> None:
    (cell,) = cells("fne", ["small"], [0], [0], SMALL)
    study = WatchedStudy(cell.config)
    study.plan(4)
    study.running(["trial 1/4"], 100.0)
    assert study.shown(100.0).left_s is None
    study.epoch(1, 99.0, 110.0)
    shown = study.shown(110.0)
    assert (shown.what, shown.total, shown.left_s) == ("trials", 4, 70.0)
    assert [(cell.name, cell.reached) for cell in shown.running] == [("trial 1/4", "epoch 1/2  val rSum   99.0")]
    study.ended("trial 1", None, 120.0)
    study.row(trial(1, 200.0), "")
    study.running(["trial 2", "trial 3"], 120.0)  # as workers call them
    study.ended("trial 2", None, 140.0)
    study.row(trial(2, 207.5), "tau=3")
    study.ended("trial 3", "no memory", 140.0)
    study.row(trial(3, None), "tau=9")
    shown = study.shown(140.0)
    assert (shown.done, shown.failed, shown.running, shown.failures) == (
        2,
        1,
        (),
        (FailureShown("trial 3", "no memory", ""),),
    )
    assert [(row.name, row.rsum, row.said, row.difference) for row in shown.rows] == [
        ("trial 2", 207.5, "tau=3", 7.5),
        ("trial 1", 200.0, "defaults", None),
    ]
    study.running(["trial 4"], 140.0)
    assert study.shown(150.0).left_s == 10.0
    study.plan(6)
    assert study.shown(150.0).what == "trainings with fresh seeds"


def test_what_is_piped_is_a_line_per_cell(small_project: Path) -> None:
    plan = cells("hardest", ["small"], [0], [0], SMALL)
    file = io.StringIO()
    with ShowSweep(Screen(file=file, width=1000), plan) as shown:
        shown.running([plan[0].name])
        shown.finished(Done(plan[0], 1, "error: no", LOGS / plan[0].log))
    assert file.getvalue() == f"failed  {plan[0].name}  error: no  (log: {LOGS / plan[0].log})\n"


def on_a_terminal(words: list[str], width: int, height: int) -> tuple[int, str]:
    """Run a command on a terminal; its exit code and all that it wrote there."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    with subprocess.Popen(words, stdin=its, stdout=its, stderr=its, env=env | {"TERM": "xterm"}) as process:
        os.close(its)
        written = b""
        while True:
            try:
                new = os.read(ours, 65536)
            except OSError:  # Linux' end of a terminal
                break
            if not new:
                break
            written += new
    os.close(ours)
    return process.returncode, written.decode()


def test_a_terminal_sees_what_came_of_all_cells(small_project: Path) -> None:
    small = [word for change in SMALL for word in ("--set", change)]
    words = ["sweep", "--methods", "hardest,siglip", "--datasets", "small", "--seeds", "4,", "--memory", "0", *small]
    code, written = on_a_terminal([*BENCH, *words], 80, 24)
    assert code == 0, written
    assert "    ok  small hardest memory 0 seed 4  rSum " in written
    assert "1 done, " in written
    last = written[written.rindex(" done, ") :]
    assert "left of 2 cells" in last
    assert "difference to hardest (in batch)" in last
    assert "siglip (in batch)" in last
    assert "1 of 1 seed" in last
