"""Which cells share a table, and what a row says of its seeds."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from boards import bench_board, board, lines, record, save, two_rows
from commands import bench
from negbench.benchmark.evaluation.protocols import Measured, Protocol
from negbench.benchmark.reports.tables.markdown import markdown
from negbench.benchmark.results.records import Cost
from negbench.benchmark.results.values import VALUES
from negbench.pipelines.files import digest


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return two_rows(tmp_path / "runs")


def test_a_failed_seed_leaves_no_means(runs: Path) -> None:
    broken = record("hardest", 3, 0, status="failed", error="boom", metrics={}, cost=None)
    text = markdown(board(save(runs / "more", broken).parent))
    row = next(line for line in text.splitlines() if "hardest" in line and line.startswith("|"))
    assert "`hardest` (1 of 4 failed)" in row
    assert row.count("–") == 9
    assert "A row with a failed seed has no means and no mark." in text


def test_a_collapsed_seed_is_averaged_in_and_flagged(runs: Path) -> None:
    save(runs / "more", record("fne", 3, 1, memory=4096, status="collapsed"))
    text = markdown(board(runs))
    row = next(line for line in text.splitlines() if "fne" in line and line.startswith("|"))
    assert "`fne` (1 of 4 collapsed†)" in row
    assert "31.0 ±20.0" in row
    assert "† Collapsed" in text


def test_partial_values_have_no_mean(runs: Path) -> None:
    """The truth is known for three seeds of four."""
    save(runs / "more", record("hardest", 3, 30), record("random", 0, 10, cost=None))
    groups = board(runs)
    hardest, random = (next(row for row in groups[0].rows if row.method == name) for name in ("hardest", "random"))
    assert "false_negative_percent" not in hardest.stats
    assert "step_ms" in hardest.stats
    assert "step_ms" not in random.stats
    assert random.stats.keys() < set(VALUES)


def test_memory_and_momentum_make_rows(tmp_path: Path) -> None:
    save(
        tmp_path,
        record("fne", 0, 10, momentum=0.9),
        record("fne", 1, 10, momentum=0.5),  # without a memory there is no momentum: the same row
        record("fne", 0, 20, memory=1024),
        record("fne", 0, 30, memory=4096),
        record("fne", 0, 40, memory=4096, momentum=0.9),
    )
    (group,) = board(tmp_path)
    assert [(row.memory, row.momentum, len(row.seeds)) for row in group.rows] == [
        (4096, 0.9, 1),
        (4096, 0.995, 1),
        (1024, 0.995, 1),
        (0, None, 2),
    ]
    assert "| 4,096 @0.9 " in markdown([group])


def test_a_cell_run_again_counts_once(tmp_path: Path) -> None:
    old, new = (record("fne", 0, recall, created=day) for recall, day in ((10, "2025-01-01"), (20, "2025-01-02")))
    groups = board(save(tmp_path, new, old))
    assert groups[0].rows[0].stats["i2t_r1"].mean == 20
    assert "1 older record(s)" in markdown(groups)


@pytest.mark.parametrize(
    "changes, name, values",
    [
        ({"epochs": 5}, "epochs", ["10", "5"]),
        ({"encoder": "clip", "features_hash": "f2"}, "encoder", ["effnet", "clip"]),
        ({"manifest_hash": "m2"}, "manifest", [digest("m1"), digest("m2")]),
        ({"features_hash": "f2"}, "features", [digest("f1"), digest("f2")]),
        (
            {"protocol": Protocol(name="f8k-1k-custom", images=10, captions=50)},
            "protocol",
            ["f8k-1k (1,000 images, 5,000 captions)", "f8k-1k-custom (10 images, 50 captions)"],
        ),
    ],
)
def test_what_may_not_be_compared_stands_in_tables_of_its_own(
    tmp_path: Path, changes: dict[str, Any], name: str, values: list[str]
) -> None:
    save(tmp_path, record("fne", 0, 20), record("hardest", 0, 10, **changes))
    groups = board(tmp_path)
    assert [len(group.rows) for group in groups] == [1, 1]
    line = markdown(groups).splitlines()[0]
    start = f"f8k has 2 tables, which differ in {name}: "
    assert line.startswith(start)
    assert sorted(line.removeprefix(start).removesuffix(".").split(" | ")) == sorted(values)


def test_what_many_tables_differ_in_is_told_in_one_short_line(tmp_path: Path) -> None:
    save(tmp_path, *(record("fne", 0, 20, epochs=number) for number in range(5, 12)))
    line = markdown(board(tmp_path)).splitlines()[0]
    assert line == "f8k has 7 tables, which differ in epochs; the line below each title says how."


def test_datasets_are_apart_and_can_be_chosen(runs: Path) -> None:
    own = Protocol(name="scenes", images=500, captions=2500)
    save(runs / "more", record("fne", 0, 20, dataset="scenes", protocol=own))
    assert [group.dataset for group in board(runs)] == ["f8k", "scenes"]
    assert "tables, which differ" not in markdown(board(runs))
    text = bench_board(runs, "--dataset", "scenes").stdout
    assert "scenes · scenes (500 images, 2,500 captions)" in text
    assert "f8k" not in text


def test_other_protocols_have_tables_of_their_own(tmp_path: Path) -> None:
    whole = Protocol(name="coco-5k", images=5000, captions=25000)
    folds = Protocol(name="coco-1k-5fold", images=1000, captions=5000, folds=5)
    save(
        tmp_path,
        *(
            record(name, seed, recall, "coco", protocol=whole, others=(Measured(protocol=folds, metrics=better),))
            for name, recall in (("fne", 40), ("hardest", 30))
            for seed in range(3)
            for better in (record(name, 0, recall + 20).metrics | {"mr": recall + 20.0},)
        ),
        record("fne", 3, 0, "coco", protocol=whole, status="failed", error="boom", metrics={}, cost=None),
    )
    first, second = board(tmp_path)
    assert (first.protocol, second.protocol) == (whole, folds)
    assert (first.first, second.first) == (True, False)
    assert {row.method: "rsum" in row.stats for row in second.rows} == {"hardest": True, "fne": False}
    text = markdown([first, second])
    assert "coco-1k-5fold (mean of 5 folds of 1,000 images, 5,000 captions)" in text
    assert "coco has 2 tables, which differ in protocol" in text
    assert "No significance marks: tests stand in the table of the whole split." in text
    assert "step_ms" not in second.rows[0].stats


def test_both_directions_of_the_audit_weigh_by_their_judged_push(tmp_path: Path) -> None:
    sides = {"i2t": (0.1, 0.05, 0.2, 300, 0.2, 900), "t2i": (0.4, 0.3, 0.5, 100, 0.2, 900)}
    names = ("", "_low", "_high", "_judged", "_base", "_anchors")
    audit = {
        f"pushed_{side}{name}": value for side, row in sides.items() for name, value in zip(names, row, strict=True)
    }
    save(tmp_path, record("fne", 0, 40, audit=audit), record("sum", 0, 30))
    text = markdown(board(tmp_path))
    assert "| 17.5 [11.2, 27.5] of 400 |" in lines(text)["fne"]
    assert "| – |" in lines(text)["sum"]
    assert "Pushing all judged pairs alike would give a pushed false % of 20.0." in text
    assert "pushed false %: on test pairs" in text


def test_the_push_of_an_older_audit_is_not_mixed_in(tmp_path: Path) -> None:
    """It took a sampler's picks for its push, whether or not their hinge is active."""
    parts = {"": 0.1, "_low": 0.05, "_high": 0.2, "_judged": 300.0, "_base": 0.2, "_all": 400.0}
    old = {f"pushed_{way}{name}": value for way in ("i2t", "t2i") for name, value in parts.items()}
    new = old | {f"pushed_{way}_anchors": 900.0 for way in ("i2t", "t2i")}
    save(tmp_path, record("fne", 0, 40, audit=old), record("fne", 1, 40, audit=new), record("sum", 0, 30, audit=new))
    text = markdown(board(tmp_path))
    assert "| – |" in lines(text)["fne"]  # a mean of two meanings is none
    assert "| 10.0 [5.0, 20.0] of 600 |" in lines(text)["sum"]
    assert "No pushed false % of fne (in batch): the audit is older and takes all picks for pushes" in text
    assert "No pushed false %" not in markdown(board(save(tmp_path / "new", record("sum", 0, 30, audit=new))))


def test_no_records(runs: Path, tmp_path: Path) -> None:
    nothing = bench_board(tmp_path / "none")
    assert nothing.exit_code == 3
    assert "no records in" in nothing.stderr
    assert "bench run" in nothing.stderr
    other = bench_board(runs, "--dataset", "coco")
    assert other.exit_code == 3
    assert "no records of 'coco'" in other.stderr
    assert "it has: f8k" in other.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    "content, says",
    [
        (b"{", "line 1: not JSON (column 2)"),
        (b"", "empty"),
        (b"\xff\xfe", "line 1: not UTF-8 (byte 0xff)"),
        (b"[]", "expected keys and values, got []"),
        (b'{"status": "done"}', "method_id: is missing"),
        (b'{"schema_version": 7, "status": 1, "more": 2}', "schema version 7, not 1 to 3"),
        (None, "Is a directory"),
    ],
)
def test_a_record_that_cannot_be_read_is_left_out_with_the_reason(runs: Path, content: bytes | None, says: str) -> None:
    before = bench_board(runs, "--format", "md")
    path = runs / "f8k" / "sum" / "seed-0" / "run.json"
    path.parent.mkdir(parents=True)
    path.mkdir() if content is None else path.write_bytes(content)
    after = bench_board(runs, "--format", "md")
    assert (after.exit_code, after.stdout) == (0, before.stdout)
    lines = [line for line in after.stderr.splitlines() if str(path.parent) in line]
    assert len(lines) == 1
    assert lines[0].rstrip().endswith(f"{says}; run the cell again with --force")
    assert "pydantic" not in after.stderr


def test_records_of_another_schema_version_are_refused_with_the_reason(runs: Path, tmp_path: Path) -> None:
    before = bench_board(runs, "--format", "md")
    save(runs / "old", record("sum", 0, 10), record("sum", 1, 10))
    for path in (runs / "old").glob("**/run.json"):
        path.write_text(path.read_text().replace('"schema_version":3', '"schema_version":7'))
    after = bench_board(runs, "--format", "md")
    assert (after.exit_code, after.stdout) == (0, before.stdout)
    folder = next((runs / "old").glob("**/run.json")).parent
    reason = "schema version 7, not 1 to 3; run the cell again with --force"
    assert re.search(r"left out +reason", after.stderr)
    assert any(str(folder) in line and reason in line for line in after.stderr.splitlines())
    shutil.copytree(runs / "old", tmp_path / "only")
    nothing = bench_board(tmp_path / "only")
    assert nothing.exit_code == 3
    assert reason in nothing.stderr
    assert "no records in" in nothing.stderr
    assert nothing.stdout == ""


def test_a_record_with_edited_ranks_is_left_out(runs: Path) -> None:
    path = runs / "f8k" / "fne" / "3" / "ranks.npz"
    path.write_bytes(path.read_bytes()[:-1])
    result = bench_board(runs, "--format", "json")
    assert result.exit_code == 0
    assert re.search(r"fne/3 +ranks.npz: cut off or edited", result.stderr)
    assert {row["method"]: row["n"] for row in json.loads(result.stdout)} == {"fne": 2, "hardest": 3}


def test_a_picture_leaves_a_broken_record_out(runs: Path, tmp_path: Path) -> None:
    (runs / "broken" / "seed-0").mkdir(parents=True)
    (runs / "broken" / "seed-0" / "run.json").write_text("{")
    words = ["plot", "cost", "--runs", str(runs), "--out", str(tmp_path / "plots")]
    drawn = bench(*words)
    assert drawn.exit_code == 0
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"cost-f8k.png", "cost-f8k.svg"}
    assert re.search(r"broken/seed-0 +line 1: not JSON", drawn.stderr)


def test_step_times_of_a_busy_machine_are_no_cost(tmp_path: Path) -> None:
    alone, beside = (Cost(wall_s=60, step_ms=9, product_ms=8, peak_mb=500, cpu_share=share) for share in (0.97, 0.6))
    save(tmp_path, record("fne", 0, 30, cost=alone), record("fne", 1, 31, cost=alone))
    save(tmp_path / "more", record("hardest", 0, 30, cost=alone), record("hardest", 1, 31, cost=beside))
    (group,) = board(tmp_path)
    stats = {row.method: row.stats for row in group.rows}
    assert "step_ms" in stats["fne"]
    assert "step_ms" not in stats["hardest"]
    assert "No step time of hardest (in batch): other work slowed the machine while they trained." in markdown([group])
