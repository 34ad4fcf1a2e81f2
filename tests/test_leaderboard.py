"""The leaderboard from records alone, in every format."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from commands import Done, bench
from negbench.benchmark.evaluation.protocols import Measured, Protocol
from negbench.benchmark.recipe.schema import RunConfig
from negbench.benchmark.reports.tables.markdown import markdown
from negbench.benchmark.reports.tables.programs import flat
from negbench.benchmark.reports.tables.terminal import show
from negbench.benchmark.results import ranks_file
from negbench.benchmark.results.integrity import survey
from negbench.benchmark.results.leaderboard import load
from negbench.benchmark.results.marks import marks
from negbench.benchmark.results.published import FILE
from negbench.benchmark.results.records import Cost, RunRecord
from negbench.benchmark.results.rows import VALUES, Group, RowChoice, rows_of
from negbench.pipelines.files import digest
from recorded import write_record

F8K = Protocol(name="f8k-1k", images=1000, captions=5000)


def record(method: str, seed: int, recall: float, dataset: str = "f8k", **changes: Any) -> RunRecord:
    """A cell whose six recalls are all ``recall``."""
    own = {key: changes.pop(key) for key in list(changes) if key in RunConfig.model_fields}
    cell: dict[str, Any] = {"method": method, "dataset": dataset, "encoder": "effnet", "seed": seed, "memory": 0}
    config = RunConfig(**cell | {"epochs": 10, "momentum": 0.995} | own)
    recalls = {f"{direction}_r{k}": recall for direction in ("i2t", "t2i") for k in (1, 5, 10)}
    values: dict[str, Any] = {
        "status": "done",
        "method_id": config.method_id,
        "config": config,
        "config_hash": config.hash,
        "recipe_hash": config.recipe_hash,
        "manifest_hash": "m1",
        "features_hash": "f1",
        "protocol": F8K,
        "metrics": recalls | {"i2t_medr": 3.0, "i2t_meanr": 9.0, "t2i_medr": 4.0, "t2i_meanr": 9.5, "rsum": 6 * recall},
        "cost": Cost(wall_s=60, step_ms=12, product_ms=8, peak_mb=500),
    }
    return RunRecord(**values | changes)


def save(root: Path, *records: RunRecord) -> Path:
    for number, each in enumerate(records):
        write_record(root / each.config.dataset / each.method_id / f"{number}", each)
    return root


def board(root: Path) -> list[Group]:
    return load(root).groups


def bench_board(root: Path, *flags: str) -> Done:
    return bench("leaderboard", "--runs", str(root), *flags)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """hardest (30, 32, 34) in batch, fne (40, 41, 42) with memory, a slower step."""
    slow = Cost(wall_s=60, step_ms=30, product_ms=20, peak_mb=500)
    return save(
        tmp_path / "runs",
        *(record("hardest", seed, 30 + 2 * seed, false_negative_rate={"both": 0.2}) for seed in range(3)),
        *(record("fne", s, 40 + s, memory=4096, cost=slow, false_negative_rate={"both": 0.05}) for s in range(3)),
    )


def test_says_that_a_method_never_beat_the_warm_up(runs: Path) -> None:
    save(runs / "more", record("hardest", 3, 20, best_epoch=0), record("hardest", 4, 20, best_epoch=1))
    text = bench_board(runs, "--format", "md").stdout
    assert "`hardest` (1 of 5 warm-up‡)" in text
    assert "‡ No epoch of the method beat the warm-up on validation, so the warm-up's weights were tested." in text


def test_json_has_plain_numbers(runs: Path) -> None:
    fne, hardest = json.loads(bench_board(runs, "--format", "json").stdout)
    assert (fne["method"], fne["memory"], fne["momentum"], fne["seeds"], fne["n"]) == ("fne", 4096, 0.995, [0, 1, 2], 3)
    assert (hardest["method"], hardest["memory"], hardest["momentum"]) == ("hardest", 0, None)
    assert hardest["i2t_r1_mean"] == pytest.approx(32)
    assert hardest["baseline"] == "hardest (in batch)"
    assert hardest["source"] is hardest["mark_p"] is None
    assert fne["mark_significant"] is True
    assert hardest["i2t_r1_std"] == pytest.approx(2)  # of a sample: sqrt((4 + 0 + 4) / 2)
    assert hardest["rsum_std"] == pytest.approx(12)
    assert fne["step_ratio_mean"] == pytest.approx(1.5)
    assert fne["false_negative_percent_mean"] == pytest.approx(5)
    assert (fne["protocol"], fne["images"], fne["captions"]) == ("f8k-1k", 1000, 5000)


def test_csv_holds_the_same_as_json(runs: Path) -> None:
    save(runs / "more", record("random", 0, 10, cost=None))
    lines = list(csv.DictReader(io.StringIO(bench_board(runs, "--format", "csv").stdout)))
    objects = json.loads(bench_board(runs, "--format", "json").stdout)
    assert [line["method"] for line in lines] == ["fne", "hardest", "random"]
    assert lines[2]["rsum_std"] == lines[2]["step_ms_mean"] == ""
    for line, row in zip(lines, objects, strict=True):
        row["seeds"] = " ".join(map(str, row["seeds"]))
        assert line == {key: "" if value is None else str(value) for key, value in row.items()}


def test_markdown(runs: Path) -> None:
    text = bench_board(runs, "--format", "md").stdout
    assert "**f8k · f8k-1k (1,000 images, 5,000 captions)**" in text
    assert "encoder effnet · 10 epochs · batch 128 · seeds 0–2" in text
    header, alignment, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header.split("|")[1:5]] == ["method", "memory", "n", "i2t R@1"]
    assert set(alignment) <= set("|:-")
    fne, hardest = ([cell.strip() for cell in row.split("|")[1:-1]] for row in rows)
    assert fne[:4] == ["`fne`", "4,096", "3", "**41.0 ±1.0**"]
    assert fne[-4:] == ["**246.0 ±6.0** ↑", ".002", "**5.0**", "30.0 (1.5×)"]
    assert hardest[:4] == ["`hardest`", "in batch", "3", "32.0 ±2.0"]
    assert hardest[-4:] == ["192.0 ±12.0", "base", "20.0", "**12.0 (1.5×)**"]


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_terminal(runs: Path, width: int) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=width, color_system="standard", _environ={})
    with screen.capture() as capture:
        show(board(runs), screen)
    styled = capture.get()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", styled)
    assert all(len(line) <= width for line in plain.splitlines())
    assert re.search(r"\x1b\[1;32m246.0 ±6.0\x1b\[0m↑", styled)
    legend = " ".join(plain.split())
    assert ("Mean ± sample standard deviation over n seeds" in legend) == ("41.0 ±1.0" in plain)
    assert ("Mean over n seeds, of rSum ± sample standard deviation" in legend) == ("41.0 ±1.0" not in plain)
    assert re.search(r"\x1b\[1;32m12.0 \(1.5×\)", styled)
    assert "192.0 ±12.0" in plain
    assert ("32.0 ±2.0" in plain) == (width == 160)
    assert len(re.findall("^hardest ", plain, flags=re.M)) == (2 if width == 80 else 1)


def test_piped_text_is_plain_and_whole(runs: Path, tmp_path: Path) -> None:
    text = bench_board(runs).stdout
    assert "\x1b" not in text
    assert re.search(r"fne +4,096 +3 +41.0 ±1.0 .* 246.0 ±6.0↑ +\.002 +5.0 +30.0 \(1.5×\)", text)
    assert bench_board(runs, "--output", str(tmp_path / "board.txt")).stdout == ""
    assert (tmp_path / "board.txt").read_text() == text


@pytest.mark.parametrize("layout", ["md", "latex", "csv", "html", "json"])
def test_output_goes_to_a_file(runs: Path, tmp_path: Path, layout: str) -> None:
    file = tmp_path / "board"
    assert bench_board(runs, "--format", layout, "--output", str(file)).stdout == ""
    assert file.read_text() == bench_board(runs, "--format", layout).stdout
    refused = bench_board(runs, "--format", layout, "--output", str(tmp_path))
    assert refused.exit_code == 2
    assert str(tmp_path) in refused.stderr.replace("\n", "")


def test_one_seed_has_no_deviation_and_alone_nothing_is_best(tmp_path: Path) -> None:
    text = markdown(board(save(tmp_path, record("fne", 0, 40))))
    assert "| 40.0 |" in re.sub(" +", " ", text)
    row = next(line for line in text.splitlines() if line.startswith("| `fne`"))
    assert "**" not in row
    assert "seed 0" in text


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


def test_rows_with_other_seeds_are_said_not_to_be_paired(runs: Path) -> None:
    assert "not paired" not in markdown(board(runs))
    save(runs / "more", record("random", 5, 10))
    text = markdown(board(runs))
    expected = "not paired. seed 5: random (in batch); seeds 0–2: all others."
    assert expected in text


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


def test_datasets_are_apart_and_can_be_chosen(runs: Path) -> None:
    own = Protocol(name="scenes", images=500, captions=2500)
    save(runs / "more", record("fne", 0, 20, dataset="scenes", protocol=own))
    assert [group.dataset for group in board(runs)] == ["f8k", "scenes"]
    assert "tables, which differ" not in markdown(board(runs))
    text = bench_board(runs, "--dataset", "scenes").stdout
    assert "scenes · scenes (500 images, 2,500 captions)" in text
    assert "f8k" not in text


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
        (b'{"schema_version": 7, "status": 1, "more": 2}', "schema version 7, not 1 to 2"),
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


def test_a_picture_leaves_a_broken_record_out(runs: Path, tmp_path: Path) -> None:
    (runs / "broken" / "seed-0").mkdir(parents=True)
    (runs / "broken" / "seed-0" / "run.json").write_text("{")
    words = ["plot", "cost", "--runs", str(runs), "--out", str(tmp_path / "plots")]
    drawn = bench(*words)
    assert drawn.exit_code == 0
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"cost-f8k.png", "cost-f8k.svg"}
    assert re.search(r"broken/seed-0 +line 1: not JSON", drawn.stderr)


def test_nothing_published_is_said(runs: Path) -> None:
    save(runs / "more", record("fne", 0, 10, dataset="my", protocol=F8K.model_copy(update={"name": "my"})))
    done = bench_board(runs, "--with-published", "--format", "md")
    assert done.exit_code == 0
    known = {line.split(",")[0] for line in FILE.read_text().splitlines()}
    names = ", ".join(name for name in ("f8k", "my") if name not in known)
    assert done.stderr == f"nothing is published that we know of for: {names}\n"
    assert bench_board(runs, "--format", "md").stderr == ""


def test_wrong_format_is_wrong_usage(runs: Path) -> None:
    assert bench_board(runs, "--format", "pdf").exit_code == 2


@pytest.mark.parametrize("layout", ["rich", "md", "latex", "csv", "html", "json"])
def test_torch_is_never_imported(tmp_path: Path, layout: str) -> None:
    """Numpy is: recalls are computed again from the ranks, and rows are tested."""
    save(tmp_path, *(record(name, seed, 30 + seed) for name in ("hardest", "fne") for seed in range(3)))
    code = f"""
import sys
from negbench.benchmark.cli.main import app
app(["leaderboard", "--runs", {str(tmp_path)!r}, "--format", {layout!r}], standalone_mode=False)
heavy = {{"torch", "pandas", "matplotlib", "optuna", "dvc"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_recall_under_true_positives_stands_where_it_is_known(tmp_path: Path) -> None:
    known = [record("fne", seed, 40 + seed) for seed in range(2)]
    known = [
        each.model_copy(update={"metrics": each.metrics | {"true_rsum": 300.0 + seed}})
        for seed, each in enumerate(known)
    ]
    save(tmp_path / "known", *known, record("hardest", 0, 30))
    save(tmp_path / "unknown", record("hardest", 0, 30))
    page = markdown(board(tmp_path / "known"))
    assert "true rSum" in page.splitlines()[3]
    assert " 300.5 " in page  # the mean, without a deviation
    assert "true rSum |" not in markdown(board(tmp_path / "unknown"))


# --- Best, second, marks ----------------------------------------------------------------------------------------


def lines(text: str) -> dict[str, str]:
    """Method: its line of a Markdown page, without padding."""
    return {row.split("`")[1]: re.sub(" +", " ", row) for row in text.splitlines() if row.startswith("| `")}


def test_the_second_is_underlined_where_there_are_three(tmp_path: Path) -> None:
    save(tmp_path, record("fne", 0, 40), record("sum", 0, 30), record("mean", 0, 20))
    rows = lines(markdown(board(tmp_path)))
    assert "| **40.0** |" in rows["fne"]
    assert "| <ins>30.0</ins> |" in rows["sum"]
    assert "| 20.0 |" in rows["mean"]
    save(tmp_path / "more", record("hcl", 0, 40))
    rows = lines(markdown(board(tmp_path)))
    assert "| **40.0** |" in rows["hcl"]  # as good as the best, so best
    assert "| **40.0** |" in rows["fne"]
    assert "| <ins>30.0</ins> |" in rows["sum"]


def test_a_collapsed_row_is_never_best(tmp_path: Path) -> None:
    fast = Cost(wall_s=60, step_ms=1, product_ms=1, peak_mb=500)
    save(tmp_path, record("fne", 0, 40), record("sum", 0, 30), record("sct", 0, 1, status="collapsed", cost=fast))
    rows = lines(markdown(board(tmp_path)))
    assert "1.0 (1.0×) |" in rows["sct"]
    assert "**" not in rows["sct"]
    assert "**12.0 (1.5×)**" in rows["fne"]


def test_marks_are_those_of_paired(tmp_path: Path) -> None:
    """A better one, one no different, one with too few seeds in common, one with a failed seed."""
    save(
        tmp_path,
        *(record("hardest", seed, 30 + seed) for seed in range(3)),
        *(record("fne", seed, 40 + seed) for seed in range(3)),
        *(record("sum", seed, 30.1 + seed) for seed in range(3)),
        *(record("random", seed, 10) for seed in range(3)),
        *(record("mean", seed, 10) for seed in range(2)),
        *(record("semi-hard", seed, 10) for seed in range(3)),
        record("semi-hard", 3, 0, status="failed", error="boom", metrics={}, cost=None),
    )
    (group,) = board(tmp_path)
    cells, _ = survey(tmp_path)
    rows = rows_of(cell for cell in cells if cell.record.method_id in ("hardest", "fne", "sum", "random"))
    expected = marks(rows, next(row for row in rows if row.method == "hardest"))
    assert {row.key: row.mark for row in group.rows if row.mark} == expected
    text = markdown([group])
    found = lines(text)
    assert "246.0 ±6.0** ↑ | <.001 |" in found["fne"]  # each seed is 60 ahead: trainings add nothing to the doubt
    assert "60.0 ±0.0 ↓ | <.001 |" in found["random"]
    assert "↑" not in found["sum"]
    assert "| base |" in found["hardest"]
    assert not {"↑", "↓"} & {*found["mean"], *found["semi-hard"]}
    family = "the 3 row(s) tested against hardest (in batch) (fne (in batch), sum (in batch), random (in batch))"
    assert f"each Holm-corrected over this family: {family}" in text
    assert {row["family"] for row in flat([group])} == {3}
    assert "a failed one: mean (in batch), semi-hard (in batch)." in text


def test_ranks_are_read_once_to_be_believed_and_to_be_tested(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    ids: list[int] = []

    def counted(path: Path, sha256: str) -> ranks_file.StoredRanks:
        read.append(path)
        stored = plain(path, sha256)
        ids.append(id(stored.t2i_ids))
        return stored

    plain = ranks_file.read_ranks
    monkeypatch.setattr(ranks_file, "read_ranks", counted)
    (group,) = board(runs)
    assert any(row.mark for row in group.rows)
    assert sorted(read) == sorted(runs.rglob("ranks.npz"))
    assert len({*ids}) == 1  # ids of the same test are kept once


def test_baseline_can_be_chosen(runs: Path) -> None:
    other = bench_board(runs, "--baseline", "fne,4096", "--format", "md").stdout
    assert "| base |" in lines(other)["fne"]
    assert "192.0 ±12.0 ↓" in lines(other)["hardest"]
    assert "rSum above, below fne (4,096)" in other
    assert bench_board(runs, "--baseline", "fne", "--format", "md").stdout == other
    for name, says in (
        ("fnee", "unknown method 'fnee'; did you mean 'fne'?"),
        ("fne,7", "no table has fne with memory 7"),
        ("fne,4096@x", "write it as 0, 2048 or 2048@0.95"),
    ):
        wrong = bench_board(runs, "--baseline", name)
        assert wrong.exit_code == 2
        assert says in wrong.stderr.replace("\n", " ")
    save(runs / "more", record("fne", 0, 20, memory=1024))
    several = bench_board(runs, "--baseline", "fne")
    assert several.exit_code == 2
    assert "fne,MEMORY of: 4096@0.995, 1024@0.995" in several.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    "text, method, memory",
    [
        ("fne", "fne", None),
        ("fne,0", "fne", "0"),
        ("fne[a=1,b=2]", "fne[a=1,b=2]", None),
        ("a[b=1,c=2],9", "a[b=1,c=2]", "9"),
    ],
)
def test_a_baseline_is_a_method_and_perhaps_a_memory(text: str, method: str, memory: str | None) -> None:
    assert RowChoice.parse(text) == RowChoice(method, memory)


def test_a_table_without_marks_says_why(tmp_path: Path) -> None:
    save(tmp_path / "a", record("fne", 0, 40), record("sum", 0, 30))
    said = "No significance marks: there is no row of hardest (in batch); choose another with --baseline "
    assert f"{said}sum." in markdown(board(tmp_path / "a"))
    save(tmp_path / "a" / "more", record("hardest", 0, 40, memory=2048))
    assert f"{said}hardest,2048." in markdown(board(tmp_path / "a"))
    save(tmp_path / "a" / "most", record("hardest", 0, 41, memory=2048, momentum=0.9))
    assert f"{said}hardest,2048@0.9." in markdown(board(tmp_path / "a"))
    assert bench_board(tmp_path / "a", "--baseline", "hardest,2048@0.9").exit_code == 0
    save(tmp_path / "b", record("fne", 0, 40), record("hardest", 0, 30))
    few = markdown(board(tmp_path / "b"))
    assert "No significance marks: no row has 3 seeds in common with hardest (in batch)." in few
    save(tmp_path / "c", record("fne", 0, 40))
    assert "marks" not in markdown(board(tmp_path / "c"))


def test_a_record_with_edited_ranks_is_left_out(runs: Path) -> None:
    path = runs / "f8k" / "fne" / "3" / "ranks.npz"
    path.write_bytes(path.read_bytes()[:-1])
    result = bench_board(runs, "--format", "json")
    assert result.exit_code == 0
    assert re.search(r"fne/3 +ranks.npz: cut off or edited", result.stderr)
    assert {row["method"]: row["n"] for row in json.loads(result.stdout)} == {"fne": 2, "hardest": 3}


# --- What else is known of a row --------------------------------------------------------------------------------


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


def test_a_column_stands_where_it_says_something(tmp_path: Path) -> None:
    save(tmp_path / "same", record("fne", 0, 40, metrics=record("fne", 0, 40).metrics | {"extended_rsum": 240.0}))
    save(tmp_path / "more", record("fne", 0, 40, metrics=record("fne", 0, 40).metrics | {"extended_rsum": 250.0}))
    eccv = {"eccv_i2t_map_at_r": 30.0, "eccv_t2i_map_at_r": 40.0}
    save(tmp_path / "eccv", record("fne", 0, 40, metrics=record("fne", 0, 40).metrics | eccv))
    same, more, verified = (markdown(board(tmp_path / name)) for name in ("same", "more", "eccv"))
    assert "ext. rSum" not in same
    assert "| 250.0 |" in lines(more)["fne"]
    assert "ext. rSum: candidates judged" in more
    assert "| 35.0 |" in lines(verified)["fne"]
    assert "false %" not in same + more + verified


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


# --- Refused ----------------------------------------------------------------------------------------------------


def test_records_of_another_schema_version_are_refused_with_the_reason(runs: Path, tmp_path: Path) -> None:
    before = bench_board(runs, "--format", "md")
    save(runs / "old", record("sum", 0, 10), record("sum", 1, 10))
    for path in (runs / "old").glob("**/run.json"):
        path.write_text(path.read_text().replace('"schema_version":2', '"schema_version":7'))
    after = bench_board(runs, "--format", "md")
    assert (after.exit_code, after.stdout) == (0, before.stdout)
    folder = next((runs / "old").glob("**/run.json")).parent
    reason = "schema version 7, not 1 to 2; run the cell again with --force"
    assert re.search(r"left out +reason", after.stderr)
    assert any(str(folder) in line and reason in line for line in after.stderr.splitlines())
    shutil.copytree(runs / "old", tmp_path / "only")
    nothing = bench_board(tmp_path / "only")
    assert nothing.exit_code == 3
    assert reason in nothing.stderr
    assert "no records in" in nothing.stderr
    assert nothing.stdout == ""


# --- Documents --------------------------------------------------------------------------------------------------


def a_full_board(root: Path) -> Path:
    """Long names, failed, collapsed, every column, more rows than a page holds, and the literature."""
    audit = {
        f"pushed_{side}{name}": value
        for side in ("i2t", "t2i")
        for name, value in (
            ("", 0.1),
            ("_low", 0.05),
            ("_high", 0.15),
            ("_judged", 1234.0),
            ("_base", 0.05),
            ("_anchors", 2000),
        )
    }
    f30k = Protocol(name="f30k-1k", images=1000, captions=5000)
    metrics = record("fne", 0, 50).metrics | {"true_rsum": 355.5, "eccv_i2t_map_at_r": 30.0, "eccv_t2i_map_at_r": 40.0}
    known: dict[str, Any] = {"dataset": "f30k", "protocol": f30k, "audit": audit, "false_negative_rate": {"both": 0.12}}
    return save(
        root,
        *(record("hardest", seed, 50, metrics=metrics, **known) for seed in range(3)),
        *(record("fne", seed, 50 + seed, metrics=metrics, settings={"tau_fn": 2.0}, **known) for seed in range(3)),
        *(record("momentum-distilled", 0, 40, memory=1000 * k, **known) for k in range(7, 18)),
        *(record("distance-weighted", 0, 40, memory=1000 * k, **known) for k in range(7, 40)),
        *(record("top-k", 0, 4, memory=k, status="collapsed", **known) for k in (100, 200)),
        record(
            "sct",
            0,
            0,
            status="failed",
            error="boom",
            cost=None,
            **known | {"metrics": {}, "audit": {}, "false_negative_rate": {}},
        ),
    )


def test_latex_is_whole_and_made_for_a_page_of_two_columns(tmp_path: Path) -> None:
    text = bench_board(a_full_board(tmp_path), "--format", "latex", "--with-published").stdout
    assert text.isascii()
    stack: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([^}]*)\}", text):
        stack.append(name) if kind == "begin" else None
        assert kind == "begin" or stack.pop() == name
    assert not stack
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    floats = re.findall(r"\\begin\{table\*\}(.*?)\\end\{table\*\}", text, flags=re.S)
    assert len(floats) == 2 * 2 + 3  # 49 rows in two parts, recall and the rest; 57 published
    for each in floats:
        for rule in ("toprule", "midrule", "bottomrule"):
            assert each.count(rf"\{rule}") == 1
        (sides,) = re.findall(r"\\begin\{tabular\}\{@\{\}(.*)@\{\}\}", each)
        columns = len(re.sub(r"p\{[^}]*\}", "p", sides))
        rows = [line for line in each.splitlines() if line.endswith(r"\tabularnewline")]
        assert len(rows) <= 38
        for line in rows:
            spans = sum(int(number) - 1 for number in re.findall(r"\\multicolumn\{(\d)\}", line))
            assert len(re.findall(r"(?<!\\)&", line)) + 1 + spans == columns
    assert r"fne\allowbreak[tau\_fn=2.0]" in text
    assert r"\textbf{" in text
    assert r"\underline{" in text
    assert r"$\uparrow$" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles_and_fits(tmp_path: Path) -> None:
    """In the narrowest page of two columns that is common: article, letter paper."""
    bench_board(
        a_full_board(tmp_path / "runs"),
        "--format",
        "latex",
        "--with-published",
        "--output",
        str(tmp_path / "board.tex"),
    )
    (tmp_path / "paper.tex").write_text(
        "\\documentclass[twocolumn]{article}\n\\usepackage{booktabs}\n\\begin{document}\n\\input{board}\n\\end{document}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "booktabs.sty' not found" in done.stdout:
        pytest.skip("needs booktabs")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "Float too large" not in done.stdout


class Page(HTMLParser):
    """What a browser would see: open tags, cells by row, links to elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1] += [""] * int(dict(attrs).get("colspan") or 1)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & {*self.open}:
            self.rows[-1][-1] += data


def test_html_is_one_whole_page(tmp_path: Path) -> None:
    text = bench_board(a_full_board(tmp_path), "--format", "html", "--with-published").stdout
    page = Page(text)
    assert page.open == page.links == []
    assert {len(row) for row in page.rows} == {16, 10}  # own, published
    own = [row for row in page.rows if row[0] == "fne[tau_fn=2.0]"]
    assert own[0][3:5] == ["50.0 ±0.0", "50.0 ±0.0"]
    assert "<u>" in text
    assert "<b>" in text
    assert 'class="published"' in text
    assert len(text) < 50_000


# --- The literature ---------------------------------------------------------------------------------------------


def literature() -> list[dict[str, str]]:
    with FILE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_published_recalls_add_up_to_their_rsum() -> None:
    rows = literature()
    assert len(rows) == 98
    for row in rows:
        recalls = [[float(row[f"{side}_r{k}"]) for k in (1, 5, 10)] for side in ("i2t", "t2i")]
        assert all(0 < side[0] < side[1] < side[2] <= 100 for side in recalls), row
        assert abs(sum(map(sum, recalls)) - float(row["rsum"])) < 0.15, row
        assert row["source"], row
        assert row["ensemble"] in ("yes", "no"), row
    assert len({tuple(row.values()) for row in rows}) == len(rows)
    assert {(row["dataset"], row["protocol"]) for row in rows} == {
        ("f30k", "f30k-1k"),
        ("coco", "coco-5k"),
        ("coco", "coco-1k-5fold"),
    }


def test_published_rows_stand_apart_and_change_nothing(tmp_path: Path) -> None:
    a_full_board(tmp_path)
    own, both = (bench_board(tmp_path, "--format", "md", *flags).stdout for flags in ((), ("--with-published",)))
    assert lines(own) == lines(both)
    assert "| SCAN (2018)\\* " in both
    assert "SCAN" not in own
    assert "context, not competitors; no mark, best or second counts them" in both
    header = next(line for line in both.splitlines() if line.startswith("| published"))
    assert [cell.strip() for cell in header.split("|")[1:4]] == ["published", "features", "i2t R@1"]
    rows = json.loads(bench_board(tmp_path, "--format", "json", "--with-published").stdout)
    assert [row["source"] is None for row in rows] == [True] * 49 + [False] * 57
    assert rows[-1]["rsum_mean"] == 350.9
    assert rows[-1]["mark_p"] is None


def test_a_custom_protocol_has_no_published_rows(tmp_path: Path) -> None:
    custom = Protocol(name="f30k-1k-custom", images=10, captions=50)
    save(tmp_path, record("fne", 0, 20, "f30k", protocol=custom))
    assert "published" not in bench_board(tmp_path, "--format", "md", "--with-published").stdout
