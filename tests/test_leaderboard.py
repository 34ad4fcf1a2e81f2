"""The leaderboard from records alone, in every format."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from benchmark.cli.main import app
from benchmark.config import RunConfig
from benchmark.leaderboard import VALUES, load
from benchmark.records import Cost, Protocol, RunRecord
from benchmark.tables import markdown, show

F8K = Protocol(name="f8k-1k", images=1000, captions=5000)


def record(method: str, seed: int, recall: float, dataset: str = "f8k", **changes: Any) -> RunRecord:
    """A cell whose six recalls are all ``recall``."""
    own = {key: changes.pop(key) for key in list(changes) if key in RunConfig.model_fields}
    cell = {"method": method, "dataset": dataset, "encoder": "effnet", "seed": seed, "memory": 0}
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
        folder = root / each.config.dataset / each.method_id / f"{number}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(each.model_dump_json())
    return root


def bench(root: Path, *flags: str) -> Result:
    return CliRunner().invoke(app, ["leaderboard", "--runs", str(root), *flags])


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
    text = bench(runs, "--format", "md").stdout
    assert "`hardest` (1 of 5 warm-up‡)" in text
    assert "‡ No epoch of the method beat the warm-up on validation, so the warm-up's weights were tested." in text


def test_json_has_plain_numbers(runs: Path) -> None:
    fne, hardest = json.loads(bench(runs, "--format", "json").stdout)
    assert (fne["method"], fne["memory"], fne["momentum"], fne["seeds"], fne["n"]) == ("fne", 4096, 0.995, [0, 1, 2], 3)
    assert (hardest["method"], hardest["memory"], hardest["momentum"]) == ("hardest", 0, None)
    assert hardest["i2t_r1_mean"] == pytest.approx(32)
    assert hardest["i2t_r1_std"] == pytest.approx(2)  # of a sample: sqrt((4 + 0 + 4) / 2)
    assert hardest["rsum_std"] == pytest.approx(12)
    assert fne["step_ratio_mean"] == pytest.approx(1.5)
    assert fne["false_negative_percent_mean"] == pytest.approx(5)
    assert (fne["protocol"], fne["images"], fne["captions"]) == ("f8k-1k", 1000, 5000)


def test_csv_holds_the_same_as_json(runs: Path) -> None:
    save(runs / "more", record("random", 0, 10, cost=None))
    lines = list(csv.DictReader(io.StringIO(bench(runs, "--format", "csv").stdout)))
    objects = json.loads(bench(runs, "--format", "json").stdout)
    assert [line["method"] for line in lines] == ["fne", "hardest", "random"]
    assert lines[2]["rsum_std"] == lines[2]["step_ms_mean"] == ""
    for line, row in zip(lines, objects, strict=True):
        row["seeds"] = " ".join(map(str, row["seeds"]))
        assert line == {key: "" if value is None else str(value) for key, value in row.items()}


def test_markdown(runs: Path) -> None:
    text = bench(runs, "--format", "md").stdout
    assert "**f8k · f8k-1k (1,000 images, 5,000 captions)**" in text
    assert "encoder effnet · 10 epochs · batch 128 · seeds 0–2" in text
    header, alignment, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header.split("|")[1:5]] == ["method", "memory", "n", "i2t R@1"]
    assert set(alignment) <= set("|:-")
    fne, hardest = ([cell.strip() for cell in row.split("|")[1:-1]] for row in rows)
    assert fne[:4] == ["`fne`", "4,096", "3", "**41.0 ±1.0**"]
    assert fne[-3:] == ["**246.0 ±6.0**", "**5.0**", "30.0 (1.5×)"]
    assert hardest[:4] == ["`hardest`", "in batch", "3", "32.0 ±2.0"]
    assert hardest[-3:] == ["192.0 ±12.0", "20.0", "**12.0 (1.5×)**"]


def test_latex(runs: Path) -> None:
    save(runs / "more", record("fne", 0, 20, settings={"tau_fn": 2.0}))
    text = bench(runs, "--format", "latex").stdout
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{llrrrrrrrrrr}"))
    assert r"\textbf{41.0 $\pm$1.0}" in text
    assert r"fne[tau\_fn=2.0]" in text
    assert text.isascii()
    for line in text.splitlines():
        if line.endswith(r"\\") and "multicolumn" not in line:
            assert len(re.findall(r"(?<!\\)&", line)) == 11


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_terminal(runs: Path, width: int) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=width, color_system="standard", _environ={})
    with screen.capture() as capture:
        show(load(runs), screen)
    styled = capture.get()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", styled)
    assert all(len(line) <= width for line in plain.splitlines())
    assert re.search(r"\x1b\[1;32m246.0 ±6.0", styled)
    assert re.search(r"\x1b\[1;32m12.0 \(1.5×\)", styled)
    assert "192.0 ±12.0" in plain
    assert ("32.0 ±2.0" in plain) == (width == 160)
    assert plain.count("hardest") == (2 if width == 80 else 1)


def test_piped_text_is_plain_and_whole(runs: Path, tmp_path: Path) -> None:
    text = bench(runs).stdout
    assert "\x1b" not in text
    assert re.search(r"fne +4,096 +3 +41.0 ±1.0 .* 246.0 ±6.0 +5.0 +30.0 \(1.5×\)", text)
    assert bench(runs, "--output", str(tmp_path / "out" / "board.txt")).stdout == ""
    assert (tmp_path / "out" / "board.txt").read_text() == text


@pytest.mark.parametrize("layout", ["md", "latex", "csv", "json"])
def test_output_goes_to_a_file(runs: Path, tmp_path: Path, layout: str) -> None:
    file = tmp_path / "board"
    assert bench(runs, "--format", layout, "--output", str(file)).stdout == ""
    assert file.read_text() == bench(runs, "--format", layout).stdout
    refused = bench(runs, "--format", layout, "--output", str(tmp_path))
    assert refused.exit_code == 2
    assert str(tmp_path) in refused.stderr.replace("\n", "")


def test_one_seed_has_no_deviation_and_alone_nothing_is_best(tmp_path: Path) -> None:
    text = markdown(load(save(tmp_path, record("fne", 0, 40))))
    assert "| 40.0 |" in re.sub(" +", " ", text)
    row = next(line for line in text.splitlines() if line.startswith("| `fne`"))
    assert "**" not in row
    assert "seed 0" in text


def test_a_failed_seed_leaves_no_means(runs: Path) -> None:
    broken = record("hardest", 3, 0, status="failed", error="boom", metrics={}, cost=None)
    text = markdown(load(save(runs / "more", broken).parent))
    row = next(line for line in text.splitlines() if "hardest" in line and line.startswith("|"))
    assert "`hardest` (1 of 4 failed)" in row
    assert row.count("–") == 9
    assert "A row with a failed seed has no means." in text


def test_a_collapsed_seed_is_averaged_in_and_flagged(runs: Path) -> None:
    save(runs / "more", record("fne", 3, 1, memory=4096, status="collapsed"))
    text = markdown(load(runs))
    row = next(line for line in text.splitlines() if "fne" in line and line.startswith("|"))
    assert "`fne` (1 of 4 collapsed†)" in row
    assert "31.0 ±20.0" in row
    assert "† Collapsed" in text


def test_partial_values_have_no_mean(runs: Path) -> None:
    """The truth is known for three seeds of four."""
    save(runs / "more", record("hardest", 3, 30), record("random", 0, 10, cost=None))
    groups = load(runs)
    hardest, random = (next(row for row in groups[0].rows if row.method == name) for name in ("hardest", "random"))
    assert "false_negative_percent" not in hardest.stats
    assert "step_ms" in hardest.stats
    assert "step_ms" not in random.stats
    assert random.stats.keys() < set(VALUES)


def test_rows_with_other_seeds_are_said_not_to_be_paired(runs: Path) -> None:
    assert "not paired" not in markdown(load(runs))
    save(runs / "more", record("random", 5, 10))
    text = markdown(load(runs))
    expected = "not paired. seeds 0–2: fne (4,096), hardest (in batch); seed 5: random (in batch)."
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
    (group,) = load(tmp_path)
    assert [(row.memory, row.momentum, len(row.seeds)) for row in group.rows] == [
        (4096, 0.9, 1),
        (4096, 0.995, 1),
        (1024, 0.995, 1),
        (0, None, 2),
    ]
    assert "| 4,096 @0.9 " in markdown([group])


def test_a_cell_run_again_counts_once(tmp_path: Path) -> None:
    old, new = (record("fne", 0, recall, created=day) for recall, day in ((10, "2025-01-01"), (20, "2025-01-02")))
    groups = load(save(tmp_path, new, old))
    assert groups[0].rows[0].stats["i2t_r1"].mean == 20
    assert "1 older record(s)" in markdown(groups)


@pytest.mark.parametrize(
    "changes, name, values",
    [
        ({"epochs": 5}, "epochs", ["10", "5"]),
        ({"encoder": "clip", "features_hash": "f2"}, "encoder", ["effnet", "clip"]),
        ({"manifest_hash": "m2"}, "manifest", ["m1", "m2"]),
        ({"features_hash": "f2"}, "features", ["f1", "f2"]),
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
    groups = load(tmp_path)
    assert [len(group.rows) for group in groups] == [1, 1]
    line = markdown(groups).splitlines()[0]
    start = f"f8k has 2 tables, which differ in {name}: "
    assert line.startswith(start)
    assert sorted(line.removeprefix(start).removesuffix(".").split(" | ")) == sorted(values)


def test_datasets_are_apart_and_can_be_chosen(runs: Path) -> None:
    own = Protocol(name="scenes", images=500, captions=2500)
    save(runs / "more", record("fne", 0, 20, dataset="scenes", protocol=own))
    assert [group.dataset for group in load(runs)] == ["f8k", "scenes"]
    assert "tables, which differ" not in markdown(load(runs))
    text = bench(runs, "--dataset", "scenes").stdout
    assert "scenes · scenes (500 images, 2,500 captions)" in text
    assert "f8k" not in text


def test_no_records(runs: Path, tmp_path: Path) -> None:
    nothing = bench(tmp_path / "none")
    assert nothing.exit_code == 3
    assert "no records in" in nothing.stderr
    assert "bench run" in nothing.stderr
    other = bench(runs, "--dataset", "coco")
    assert other.exit_code == 3
    assert "no records of 'coco'" in other.stderr
    assert "it has: f8k" in other.stderr.replace("\n", " ")


@pytest.mark.parametrize("text, says", [("{", "Invalid JSON"), ('{"status": "done"}', "method_id: Field required")])
def test_an_unreadable_record_is_one_line(runs: Path, text: str, says: str) -> None:
    path = next(runs.glob("**/run.json"))
    path.write_text(text)
    result = bench(runs)
    assert result.exit_code == 3
    assert str(path) in result.stderr
    assert says in result.stderr
    assert result.stdout == ""


def test_wrong_format_is_wrong_usage(runs: Path) -> None:
    assert bench(runs, "--format", "html").exit_code == 2


@pytest.mark.parametrize("layout", ["rich", "md", "latex", "csv", "json"])
def test_nothing_heavy_is_imported(runs: Path, layout: str) -> None:
    code = f"""
import sys
from benchmark.cli.main import app
app(["leaderboard", "--runs", {str(runs)!r}, "--format", {layout!r}], standalone_mode=False)
heavy = {{"torch", "pandas", "numpy", "scipy", "matplotlib", "optuna", "dvc"}} & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else 0)
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
    page = markdown(load(tmp_path / "known"))
    assert "true rSum" in page.splitlines()[3]
    assert " 300.5 " in page  # the mean, without a deviation
    header = bench(tmp_path / "known", "--format", "latex").stdout
    assert r"t2i} &  & true & false & step ms \\" in header
    assert "true rSum |" not in markdown(load(tmp_path / "unknown"))
    assert r"t2i} &  & false & step ms \\" in bench(tmp_path / "unknown", "--format", "latex").stdout
